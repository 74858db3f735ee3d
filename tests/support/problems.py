"""Parts of requests and answers."""

KEY = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93"'}


def problem(response) -> tuple[int, str]:
    return response.status_code, response.get_json(force=True)["type"].removeprefix("urn:cart:problem:")
