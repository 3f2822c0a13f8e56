"""The results of load tests, and the changes to the stack file that follow from them."""
