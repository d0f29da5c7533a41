"""Who may come in: by host name, with the token, and not more often than agreed. The true client behind proxies."""

import hmac
from ipaddress import ip_address, ip_network

from flask import Flask, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits.errors import ConfigurationError
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized
from werkzeug.middleware.proxy_fix import ProxyFix

from classifier.errors import StartupError
from web.settings import Settings

PUBLIC = {"healthy", "ready", "api.live", "api.ready"}  # the endpoints that whatever watches over the site may ask
ASKING = {"POST"}
LOCAL = "127.0.0.1"  # who asks through a Unix socket has no address
LOGIN = [WWWAuthenticate("basic", {"realm": "classifier"}), WWWAuthenticate("bearer", {"realm": "classifier"})]


class AccessControl:
    """Who may see what: raises Unauthorized or Forbidden before the view is called."""

    def __init__(self, settings: Settings) -> None:
        self._token = settings.token
        self._metrics_from = [ip_network(name) for name in settings.metrics_from]
        self._proxies = settings.proxies

    def check(self) -> None:
        """A before_request handler."""
        if request.endpoint == "metrics":
            self._check_metrics()
        elif self._token and request.endpoint not in PUBLIC and not self._has_token():
            raise Unauthorized(www_authenticate=LOGIN)

    def _check_metrics(self) -> None:
        if not (self._token and self._has_token()) and not self._is_near():
            raise Forbidden

    def _has_token(self) -> bool:
        """The token as `Authorization: Bearer`, or as the password that a browser asks for."""
        given = request.authorization
        sent = (given.token or given.password or "") if given else ""
        return hmac.compare_digest(sent.encode(), self._token.encode())

    def _is_near(self) -> bool:
        """Whether an address that may read the metrics asks, and not through a proxy that we were not told about."""
        if not self._proxies and "X-Forwarded-For" in request.headers:
            return False
        try:
            address = ip_address(request.remote_addr or LOCAL)
        except ValueError:
            return False
        return any(address in network for network in self._metrics_from)


def add_access_control(app: Flask, settings: Settings) -> None:
    """Put the checks before all views of `app`. Raises StartupError when the rates cannot be counted."""
    hops = settings.proxies
    if hops:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_port=hops, x_prefix=hops
        )
    app.config["TRUSTED_HOSTS"] = list(settings.trusted_hosts) or None
    app.before_request(AccessControl(settings).check)
    if settings.rate:
        limit_rate(app, settings)


def limit_rate(app: Flask, settings: Settings) -> None:
    """Count what costs something: photos, feedback, heat maps. While Redis is away, each process counts for itself."""
    try:
        Limiter(
            get_remote_address,
            app=app,
            application_limits=[settings.rate],
            application_limits_exempt_when=lambda: request.method not in ASKING and request.endpoint != "why",
            storage_uri=settings.rate_storage,
            in_memory_fallback_enabled=True,
            headers_enabled=True,
        )
    except ConfigurationError as exc:
        raise StartupError(f"CLASSIFIER_RATE_STORAGE={settings.rate_storage} cannot be used: {exc}.") from exc
