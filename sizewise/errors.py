"""Every way a request can fail, as one tree; knows nothing of HTTP servers, wires or models.

SizewiseError                     code                  status
├── BadRequest                    bad_request           400   the client can fix it
│   ├── BadBody                   bad_body              400   not JSON, not UTF-8, not the right shape
│   ├── TooLong                   context_length_exceeded 400 more tokens than the model's window
│   ├── Blocked                   guard_blocked         400   a guardrail blocks the prompt or the answer
│   ├── NotTranslatable           not_translatable      400   the model's API has no equivalent
│   ├── CodeFailed                code_failed           422   a code node of a flow: its own error, or a limit
│   ├── BodyTooLarge              body_too_large        413
│   ├── BodyTooSlow               body_too_slow         408
│   └── QueryNotKept              PERSISTED_QUERY_NOT_FOUND 200 as Apollo's clients expect it: they retry with the query
├── BadKey                        invalid_api_key       401
├── SignInRefused                 sign_in_refused       401   without the reason, on purpose
├── OverBudget                    over_budget           402
├── Forbidden                     forbidden             403
├── UnknownModel                  model_not_found       404
├── UnknownPath                   not_found             404
├── UnknownResponse               previous_response_not_found 404 never stored, expired, deleted, or another project's
├── Conflict                      conflict              409
│   └── OutcomeUnknown            outcome_unknown       409   the first request with this idempotency key was lost
├── NoModelFits                   no_model_fits         422   no model meets the constraints; reasons in the message
├── NotTrusted                    not_trusted           422   no answer was trusted, and the policy refuses
├── InvalidOutput                 invalid_output        502   the answer violates the requested JSON schema
├── Busy                          busy                  429   carries retry_after
├── Upstream                      upstream_error        502   the model's API failed
│   ├── UpstreamRefused           upstream_refused      4xx   the API rejected this request; its status is kept
│   ├── UpstreamDown              upstream_unreachable  502   refused, reset, unreachable, TLS
│   ├── UpstreamGarbled           upstream_garbled      502   the response violates the protocol
│   ├── UpstreamBusy              upstream_busy         503   429 or overload; carries retry_after
│   ├── UpstreamSlow              upstream_timeout      504   the deadline passed
│   └── StreamCut                 stream_interrupted    502   after the first token was sent
├── ModelUnavailable              model_unavailable     503   weights missing, worker down, does not fit
├── StoreFailed                   store_failed          503   disk full, read-only, newer schema
├── VaultLocked                   vault_locked          503   no encryption key available
├── EgressDenied                  egress_denied         403   the egress policy refused
├── ConfigError                   bad_config            500   exit code 2 at the terminal
└── Outside                       outside_failed        500   port taken, download failed: exit code 3
"""

from __future__ import annotations

from typing import Literal

About = Literal["request", "model", "key", "endpoint"]
"""What a failed attempt counts against, and so which circuit breaker opens."""


class SizewiseError(Exception):
    """Base of all. `message` says what is wrong, with the value in quotes; `hint` is the next step.

    Neither may hold a secret or the text of a prompt.
    """

    code = "internal_error"
    status = 500
    kind = "api_error"  # the `type` of OpenAI's error object
    exit = 3  # 2 you asked wrong, 3 something outside broke
    again = False  # the same model may do better in a moment: worth a retry
    node = ""  # where in a flow it happened

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        param: str | None = None,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param
        self.retry_after = retry_after  # seconds
        if status is not None:
            self.status = status


class BadRequest(SizewiseError):
    code, status, kind, exit = "bad_request", 400, "invalid_request_error", 2


class BadBody(BadRequest):
    code = "bad_body"


class TooLong(BadRequest):
    code = "context_length_exceeded"


class NotTranslatable(BadRequest):
    code = "not_translatable"


class Blocked(BadRequest):
    code = "guard_blocked"


class BodyTooLarge(BadRequest):
    code, status = "body_too_large", 413


class BodyTooSlow(BadRequest):
    code, status = "body_too_slow", 408


class QueryNotKept(BadRequest):
    code, status = "PERSISTED_QUERY_NOT_FOUND", 200


class BadKey(SizewiseError):
    code, status, kind, exit = "invalid_api_key", 401, "authentication_error", 2


class SignInRefused(SizewiseError):
    code, status, kind, exit = "sign_in_refused", 401, "authentication_error", 2


class OverBudget(SizewiseError):
    code, status, kind, exit = "over_budget", 402, "insufficient_quota", 1


class Forbidden(SizewiseError):
    code, status, kind, exit = "forbidden", 403, "permission_error", 2


class EgressDenied(Forbidden):
    code = "egress_denied"


class UnknownModel(BadRequest):
    code, status = "model_not_found", 404


class UnknownPath(BadRequest):
    code, status = "not_found", 404


class UnknownResponse(BadRequest):
    code, status = "previous_response_not_found", 404


class Conflict(BadRequest):
    code, status = "conflict", 409


class OutcomeUnknown(Conflict):
    code, exit = "outcome_unknown", 3


class CodeFailed(BadRequest):
    code, status = "code_failed", 422


class NoModelFits(BadRequest):
    code, status = "no_model_fits", 422


class NotTrusted(SizewiseError):
    code, status, kind, exit = "not_trusted", 422, "invalid_request_error", 1


class InvalidOutput(SizewiseError):
    code, status = "invalid_output", 502


class Busy(SizewiseError):
    code, status, kind = "busy", 429, "rate_limit_error"


class Upstream(SizewiseError):
    code, status = "upstream_error", 502
    about: About = "request"


class UpstreamRefused(Upstream):
    code, status, kind = "upstream_refused", 400, "invalid_request_error"


class UpstreamDown(Upstream):
    code, again = "upstream_unreachable", True
    about: About = "model"


class UpstreamGarbled(Upstream):
    code = "upstream_garbled"


class UpstreamBusy(Upstream):
    code, status, again = "upstream_busy", 503, True
    about: About = "model"


class UpstreamSlow(Upstream):
    code, status = "upstream_timeout", 504  # not `again`: it had the question, and would be paid twice
    about: About = "model"


class StreamCut(Upstream):
    code = "stream_interrupted"


class ModelUnavailable(SizewiseError):
    code, status = "model_unavailable", 503


class StoreFailed(SizewiseError):
    code, status = "store_failed", 503


class VaultLocked(SizewiseError):
    code, status = "vault_locked", 503


class ConfigError(SizewiseError):
    code, exit = "bad_config", 2


class Outside(SizewiseError):
    code = "outside_failed"


def nearest(wrong: str, known: list[str] | tuple[str, ...]) -> str:
    """The known word closest to `wrong`, as a hint's sentence; empty when none is near."""
    from difflib import get_close_matches  # costs 10 ms at import, needed only when someone erred

    near = get_close_matches(wrong, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else ""
