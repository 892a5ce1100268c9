"""The product as a whole, from the webhook to the end of the job."""
