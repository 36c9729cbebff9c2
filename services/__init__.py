"""The five services: each one step of a purchase. They know each other only through the messages in `shared.messages`."""
