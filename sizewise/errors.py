"""The exception hierarchy: error codes, HTTP statuses and exit codes; no HTTP server, no wire format.

SizewiseError                       code                        status
├── BadRequest                      bad_request                 400   the client can fix it
│   ├── BadBody                     bad_body                    400   not JSON, not UTF-8, not the right shape
│   ├── ContextLengthExceeded       context_length_exceeded     400   more tokens than the model's window
│   ├── GuardrailBlocked            guard_blocked               400   a guardrail blocks the prompt or the reply
│   ├── NotTranslatable             not_translatable            400   the model's API has no equivalent
│   ├── CodeFailed                  code_failed                 422   a code node failed or exceeded a limit
│   ├── BodyTooLarge                body_too_large              413
│   ├── BodyTooSlow                 body_too_slow               408
│   └── PersistedQueryNotFound      PERSISTED_QUERY_NOT_FOUND   200   Apollo clients retry with the query
├── InvalidApiKey                   invalid_api_key             401
├── SignInFailed                    sign_in_refused             401   without the reason, on purpose
│   └── SecondFactorRequired        second_factor_required      401   the password is right
├── BudgetExceeded                  over_budget                 402
├── Forbidden                       forbidden                   403
│   └── EgressDenied                egress_denied               403   the egress policy refused
├── ModelNotFound                   model_not_found             404
├── PathNotFound                    not_found                   404
├── ResponseNotFound                previous_response_not_found 404   never stored, expired or deleted
├── Conflict                        conflict                    409
│   ├── OutcomeUnknown              outcome_unknown             409   the first request with this key was lost
│   └── WaitsForApproval            waits_for_approval          409   a flow run waits for a person
├── NoModelFits                     no_model_fits               422   no model meets the constraints
├── NotTrusted                      not_trusted                 422   no answer was trusted, and the policy refuses
├── RunLimitExceeded                run_limit_exceeded          422   a flow run exceeds its steps, bytes or time
├── InvalidOutput                   invalid_output              502   the answer violates the requested JSON schema
├── Busy                            busy                        429   carries retry_after
├── UpstreamError                   upstream_error              502   the model's API failed
│   ├── UpstreamRejected            upstream_refused            4xx   the API rejected this request; its status is kept
│   ├── UpstreamUnreachable         upstream_unreachable        502   refused, reset, unreachable, TLS
│   ├── UpstreamProtocolError       upstream_garbled            502   the response violates the protocol
│   ├── UpstreamOverloaded          upstream_busy               503   or 429, as the API said; carries retry_after
│   ├── UpstreamQuotaExceeded       insufficient_quota          429   our account at the provider is used up
│   ├── UpstreamTimeout             upstream_timeout            504   the deadline passed
│   └── StreamInterrupted           stream_interrupted          502   after the first token was sent
├── ModelUnavailable                model_unavailable           503   weights missing, worker down, does not fit
├── ServerStopping                  server_stopping             503   the request outlasted the drain timeout
├── StorageError                    store_failed                503   disk full, read-only, newer schema
├── EncryptionKeyUnavailable        vault_locked                503   no encryption key available
├── ConfigError                     bad_config                  500   exit code 2 at the terminal
└── ExternalFailure                 outside_failed              500   port taken, download failed: exit code 3
"""

from __future__ import annotations

from typing import Literal

FailureScope = Literal["request", "model", "key", "endpoint"]
"""What a failed attempt counts against: this decides which circuit breaker opens."""


class SizewiseError(Exception):
    """`message` states the problem with the value in quotes, `hint` the next step; no secret or prompt text in them."""

    code, status = "internal_error", 500
    error_type = "api_error"  # the `type` of OpenAI's error object
    exit_code = 3  # 2 bad usage, 3 an external failure
    retryable = False  # the same model may succeed in a moment
    flow_node = ""  # the flow node that raised it
    upstream_code = ""  # shown in place of ours: clients act on `unsupported_parameter` or `content_filter`

    @property
    def shown_code(self) -> str:
        """The code in the error object of a model API; `code` names our docs page."""
        return self.upstream_code or self.code

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        param: str | None = None,
        retry_after: float | None = None,  # seconds
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.hint, self.param, self.retry_after = message, hint, param, retry_after
        if status is not None:
            self.status = status


class BadRequest(SizewiseError):
    code, status, error_type, exit_code = "bad_request", 400, "invalid_request_error", 2


class BadBody(BadRequest):
    code = "bad_body"


class ContextLengthExceeded(BadRequest):
    code = "context_length_exceeded"


class NotTranslatable(BadRequest):
    code = "not_translatable"


class GuardrailBlocked(BadRequest):
    code = "guard_blocked"


class BodyTooLarge(BadRequest):
    code, status = "body_too_large", 413


class BodyTooSlow(BadRequest):
    code, status = "body_too_slow", 408


class PersistedQueryNotFound(BadRequest):
    code, status = "PERSISTED_QUERY_NOT_FOUND", 200


class InvalidApiKey(SizewiseError):
    code, status, error_type, exit_code = "invalid_api_key", 401, "authentication_error", 2


class SignInFailed(SizewiseError):
    code, status, error_type, exit_code = "sign_in_refused", 401, "authentication_error", 2


class SecondFactorRequired(SignInFailed):
    code = "second_factor_required"


class BudgetExceeded(SizewiseError):
    code, status, error_type, exit_code = "over_budget", 402, "insufficient_quota", 1


class Forbidden(SizewiseError):
    code, status, error_type, exit_code = "forbidden", 403, "permission_error", 2


class EgressDenied(Forbidden):
    code = "egress_denied"


class ModelNotFound(BadRequest):
    code, status = "model_not_found", 404


class PathNotFound(BadRequest):
    code, status = "not_found", 404


class ResponseNotFound(BadRequest):
    code, status = "previous_response_not_found", 404


class Conflict(BadRequest):
    code, status = "conflict", 409


class OutcomeUnknown(Conflict):
    code, exit_code = "outcome_unknown", 3


class WaitsForApproval(Conflict):
    code = "waits_for_approval"


class CodeFailed(BadRequest):
    code, status = "code_failed", 422


class NoModelFits(BadRequest):
    code, status = "no_model_fits", 422


class NotTrusted(SizewiseError):
    code, status, error_type, exit_code = "not_trusted", 422, "invalid_request_error", 1


class RunLimitExceeded(SizewiseError):
    code, status, error_type, exit_code = "run_limit_exceeded", 422, "invalid_request_error", 2


class InvalidOutput(SizewiseError):
    code, status = "invalid_output", 502


class Busy(SizewiseError):
    code, status, error_type = "busy", 429, "rate_limit_error"


class UpstreamError(SizewiseError):
    code, status = "upstream_error", 502
    failure_scope: FailureScope = "request"
    withheld_text: str | None = None  # what the upstream wrote; may hold secrets and prompt text


class UpstreamRejected(UpstreamError):
    code, status, error_type = "upstream_refused", 400, "invalid_request_error"


class UpstreamUnreachable(UpstreamError):
    code, retryable = "upstream_unreachable", True
    failure_scope: FailureScope = "model"


class UpstreamProtocolError(UpstreamError):
    code = "upstream_garbled"


class UpstreamOverloaded(UpstreamError):
    code, status, retryable = "upstream_busy", 503, True
    failure_scope: FailureScope = "model"


class UpstreamQuotaExceeded(UpstreamError):
    code, status, error_type = "insufficient_quota", 429, "insufficient_quota"
    failure_scope: FailureScope = "key"


class UpstreamTimeout(UpstreamError):
    code, status = "upstream_timeout", 504  # not `retryable`: the model has the request and may bill it
    failure_scope: FailureScope = "model"


class StreamInterrupted(UpstreamError):
    code = "stream_interrupted"


class ModelUnavailable(SizewiseError):
    code, status = "model_unavailable", 503


class ServerStopping(SizewiseError):
    code, status = "server_stopping", 503


class StorageError(SizewiseError):
    code, status = "store_failed", 503


class EncryptionKeyUnavailable(SizewiseError):
    code, status = "vault_locked", 503


class ConfigError(SizewiseError):
    code, exit_code = "bad_config", 2


class ExternalFailure(SizewiseError):
    code = "outside_failed"


def did_you_mean(word: str, known: list[str] | tuple[str, ...]) -> str:
    """The known word closest to `word`, as a hint; empty if none is close."""
    from difflib import get_close_matches  # costs 10 ms at import, needed only on errors

    return f"Did you mean {near[0]!r}?" if (near := get_close_matches(word, known, n=1, cutoff=0.5)) else ""
