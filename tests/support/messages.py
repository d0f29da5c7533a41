"""What people are told when something cannot be used."""


def one_line(error: BaseException) -> str:
    """Return the message of an error, which must be one line that ends as a sentence, and not too long."""
    message = str(error)
    assert "\n" not in message
    assert len(message) < 600
    assert message.endswith(".")
    return message
