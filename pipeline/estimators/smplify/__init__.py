"""SMPLify-style fitting (Bogo et al. 2016) of the body to the landmarks of a whole clip."""
