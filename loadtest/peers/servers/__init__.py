"""The other servers, each written as its documentation advises."""
