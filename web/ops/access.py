"""Access control: host names, the token, the request rate, and the client's address behind proxies."""

import hmac
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from flask import Flask, redirect, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits.errors import ConfigurationError
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import RequestRedirect
from werkzeug.wrappers import Response

from classifier.errors import StartupError
from web.marks import changes, costly, operators_only, public
from web.problems import SentFromElsewhere
from web.settings import Settings

LOCAL = "127.0.0.1"  # clients of a Unix socket have no address
LOGIN = [WWWAuthenticate("basic", {"realm": "classifier"}), WWWAuthenticate("bearer", {"realm": "classifier"})]


class AccessControl:
    """Checks every request before its view is called."""

    def __init__(self, settings: Settings) -> None:
        self._token = settings.token
        self._metrics_from = [ip_network(name) for name in settings.metrics_from]
        self._proxies = settings.proxies

    def check(self) -> None:
        """Raise Unauthorized or Forbidden if the client may not see the requested view, or not from another site."""
        if operators_only.is_on_requested_view():
            self._check_operator()
        elif self._token and not self._has_token() and not public.is_on_requested_view():
            raise Unauthorized(www_authenticate=LOGIN)
        elif changes.is_on_requested_view() and is_sent_from_elsewhere():
            raise SentFromElsewhere

    def _check_operator(self) -> None:
        if not (self._token and self._has_token()) and not self._is_near():
            raise Forbidden

    def _has_token(self) -> bool:
        """Return whether the token was sent, as `Authorization: Bearer` or as the password that a browser asks for."""
        given = request.authorization
        sent = (given.token or given.password or "") if given else ""
        return hmac.compare_digest(sent.encode(), self._token.encode())

    def _is_near(self) -> bool:
        """Return whether the client's address may read the metrics, and no undeclared proxy hides the client."""
        if not self._proxies and "X-Forwarded-For" in request.headers:
            return False
        try:
            address = ip_address(request.remote_addr or LOCAL)
        except ValueError:
            return False
        return any(address in network for network in self._metrics_from)


def add_access_control(app: Flask, settings: Settings) -> None:
    """Check every request to `app`. Raises StartupError if requests cannot be counted for the rate."""
    hops = settings.proxies
    if hops:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_port=hops, x_prefix=hops
        )
    app.config["TRUSTED_HOSTS"] = list(settings.trusted_hosts) or None
    app.before_request(AccessControl(settings).check)
    app.before_request(redirect_by_path)
    if settings.rate:
        limit_rate(app, settings)


def is_sent_from_elsewhere() -> bool:
    """Return whether a browser declares that the page of another origin sent the request.

    Browsers add Sec-Fetch-Site where the connection is safe, and Origin to every POST; other clients add neither.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site:
        return site not in ("same-origin", "none")
    return origin is not None and urlsplit(origin).netloc != request.host


def redirect_by_path() -> Response | None:
    """Redirect where Werkzeug would (/v2//models -> /v2/models), but without the host, because clients choose it."""
    error = request.routing_exception
    if not isinstance(error, RequestRedirect):
        return None
    return redirect(urlsplit(error.new_url)._replace(scheme="", netloc="").geturl(), error.code)


def is_free() -> bool:
    """Return whether the request does not count towards the rate: photos, feedback and heat maps do."""
    return request.method != "POST" and not costly.is_on_requested_view()


def limit_rate(app: Flask, settings: Settings) -> None:
    """Limit each client's rate. While Redis is unreachable, each process counts for itself."""
    try:
        Limiter(
            get_remote_address,
            app=app,
            application_limits=[settings.rate],
            application_limits_exempt_when=is_free,
            storage_uri=settings.rate_storage,
            in_memory_fallback_enabled=True,
            headers_enabled=True,
        )
    except ConfigurationError as exc:
        raise StartupError(f"CLASSIFIER_RATE_STORAGE={settings.rate_storage} cannot be used: {exc}.") from exc
