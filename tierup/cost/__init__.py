"""What a tier costs: bought and rented, before it is deployed."""
