"""Raw HTTP requests as attackers send them: `attacks(chance, share)` yields about 1,900, or a share of them."""

import random
from collections.abc import Iterator
from typing import NamedTuple

from hostile.images import BUGS
from hostile.mutations import SOURCES, mutated

PHOTO = SOURCES["png RGB"]
NOT_IMAGES = [
    b"",
    b"\0",
    b"words",
    b"%PDF-1.7\n",
    b"MZ" + b"\0" * 999,
    b"PK\3\4" * 99,
    b"\x1f\x8b" + b"\0" * 99,
    b"<svg/>",
    b"GIF89a<script>alert(1)</script>",
    b"#!/bin/sh\nreboot",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\0\0\0\0WEBP",
    b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><svg>&e;</svg>",
    b"\0\0\1\0" * 99,
    b"push graphic-context\nfill 'url(https://127.0.0.1/)'",
    b"%!PS\n(/etc/passwd) (r) file",
    b"\xff" * 99_999,
]
NAMES = [
    b"../../../../etc/passwd",
    b"..\\..\\boot.ini",
    b"/etc/cron.d/x",
    b"C:\\x.png",
    b"a\0b.png",
    b"\0",
    b".",
    b"..",
    b" ",
    b"x" * 10_000,
    b"caf\xe9.png",
    b"\xff\xfe",
    "gnp.\u202egpj.exe".encode(),
    "\ud55c\uae00.png".encode(),
    b"a\rb.png",
    b"<script>alert(1)</script>",
    b"{{7*7}}",
    b"${jndi:ldap://x}",
    b"%00",
    b"%2e%2e%2f",
    b"`reboot`",
    b"|id",
    b"a;b=c",
    b"CON",
    b"aux.png",
    b"~root",
    b"a\tb",
    b"%s%n%x",
    b"file:///etc/passwd",
    b"uploads/x.jpg",
]
PATHS = [
    b"/results/",
    b"/results/%s",
    b"/results/%s/image",
    b"/results/%s/why?class=1",
    b"/results/%s/delete",
    b"/results/%s/feedback",
    b"/examples/%s",
    b"/static/%s",
    b"/%s",
    b"/?why=%s",
    b"/v1/models/%s:predict",
    b"/v2/models/%s/infer",
]
IDS = [
    b"0" * 32,
    b"..%2f..%2fetc%2fpasswd",
    b"../../../../etc/passwd",
    b"%00",
    b"%ff%fe",
    b"0" * 31 + b"g",
    b"A" * 32,
    b"x" * 7000,
    b"-1",
    b"%252e%252e%252f",
    b"..\\..\\x",
    b"%0d%0aX-Evil:%201",
    b"a" * 32 + b".jpg",
    b"\xc3\xa9",
    b"?x=1#y",
    b"//////",
]


class Attack(NamedTuple):
    kind: str
    request: bytes
    is_whole: bool = True  # False: no answer is due, as the request never ends or is no HTTP


def http(
    path: bytes = b"/", body: bytes = b"", *headers: bytes, method: bytes = b"POST", length: bytes | None = None
) -> bytes:
    length = str(len(body)).encode() if length is None else length
    lines = [
        method + b" " + path + b" HTTP/1.1",
        b"Host: 127.0.0.1",
        b"Connection: close",
        b"Content-Length: " + length,
        *headers,
    ]
    return b"\r\n".join(line for line in lines if line != b"Content-Length: ") + b"\r\n\r\n" + body


def part(content: bytes, name: bytes = b"photo.png", field: bytes = b"fileImage", more: bytes = b"") -> bytes:
    disposition = b'Content-Disposition: form-data; name="' + field + b'"; filename="' + name + b'"'
    return b"--sep\r\n" + disposition + more + b"\r\n\r\n" + content + b"\r\n"


def form(
    *parts: bytes, end: bytes = b"--sep--\r\n", boundary: bytes = b"boundary=sep", headers: tuple[bytes, ...] = ()
) -> bytes:
    return http(b"/", b"".join(parts) + end, b"Content-Type: multipart/form-data; " + boundary, *headers)


def images(chance: random.Random) -> Iterator[bytes]:
    yield from (form(part(data)) for data in NOT_IMAGES)
    for source in SOURCES.values():
        yield from (form(part(mutated(source, chance))) for _ in range(20))
    yield from (form(part(make())) for make, _ in BUGS.values())


def names(chance: random.Random) -> Iterator[bytes]:
    for name in NAMES:
        yield form(part(PHOTO, name))
        yield form(part(PHOTO, b"x", more=b"; filename*=UTF-8''" + name))
        yield form(part(PHOTO, name, field=name))
        yield form(part(b"", name), headers=(b"Accept: application/json",))
        yield form(b'--sep\r\nContent-Disposition: form-data; name="example"\r\n\r\n' + name + b"\r\n")


def forms(chance: random.Random) -> Iterator[bytes]:
    """Yield multipart bodies that are wrong, or right but too large."""
    whole = part(PHOTO)
    for boundary in (
        b"",
        b"boundary=",
        b"boundary=other",
        b"boundary=" + b"x" * 5000,
        b"boundary=\xff",
        b'boundary="sep',
        b"boundary=a; boundary=sep",
        b"charset=utf-7; boundary=sep",
    ):
        yield form(whole, boundary=boundary)
    for end in (b"", b"--sep", b"--sep--", b"--sep\r\n", b"--sep--\r\n" * 9, b"--sep--" + b"x" * 99_999):
        yield form(whole, end=end)
    for more in (
        b"\r\nContent-Type: multipart/mixed; boundary=b",
        b"\r\nContent-Transfer-Encoding: base64",
        b"\r\nX: " + b"x" * 99_999,
        b"\r\n" * 9,
        b"\r\nX: y" * 9999,
        b"\r\nContent-Length: -1",
        b"\r\n\tfolded",
        b"\r\n: no name",
    ):
        yield form(part(PHOTO, more=more))
    yield form(*[part(b"x")] * 10_000)
    yield form(*[part(PHOTO)] * 17)
    yield form(*[part(PHOTO)] * 999)
    yield form(part(b"x" * 19 * 2**20))
    yield form(b'--sep\r\nContent-Disposition: form-data; name="x"\r\n\r\n' + b"x" * 2**20 + b"\r\n", whole)
    yield form(*[b'--sep\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n'] * 5000)
    yield form(
        b"--sep\r\n\r\n" + PHOTO + b"\r\n", b"--sep\r\nContent-Disposition:\r\n\r\n\r\n", b"--sep\r\nnonsense\r\n"
    )
    for kind in (
        b"application/json",
        b"application/x-www-form-urlencoded",
        b"image/png",
        b"",
        b"text/plain; charset=x",
        b"multipart/mixed; boundary=sep",
        b"\xff\xfe",
    ):
        yield http(b"/", whole + b"--sep--", b"Content-Type: " + kind)
        yield http(b"/", b"fileImage=" + b"%ff" * 9999, b"Content-Type: " + kind)
    yield from (form(damaged(whole, chance)) for _ in range(250))


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return the head of a part or a request with a few bytes changed, removed or inserted."""
    result = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(min(len(result), 120))
        result[at : at + chance.randrange(3)] = chance.choice(
            (b"", b"\r\n", b"\0", b'"', b";", b"=", b"--", b":", b"\xff", b" ", bytes([chance.randrange(256)]))
        )
    return bytes(result)


def requests(chance: random.Random) -> Iterator[bytes]:
    """Yield HTTP that a server may refuse but must survive."""
    for method in (b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"HEAD", b"TRACE", b"PROPFIND", b"X" * 99):
        yield from (
            http(path, PHOTO, method=method) for path in (b"/", b"/healthz", b"/static/site.css", b"/results/" + IDS[0])
        )
    for header in (
        b"Cookie: " + b"x" * 5000,
        b"Accept: " + b"a/b," * 1000,
        b"Accept: \xff",
        b"Accept: */*;q=x",
        b"Range: bytes=0-,-1,5-2",
        b"X-Forwarded-For: " + b"1," * 1000,
        b"X-Forwarded-Proto: javascript",
        b"X-Forwarded-Prefix: //evil",
        b"Host: evil",
        b"If-None-Match: \xff",
        b"If-Modified-Since: yesterday",
        b"Authorization: Bearer " + b"x" * 5000,
        b"Authorization: Basic \xff",
        b"Accept-Encoding: gzip;q=9",
        b"Content-Encoding: gzip",
        b"Expect: 200-maybe",
        b"Upgrade: websocket",
        b"X-Request-ID: a\tb" + b"c" * 5000,
        b'Forwarded: for="',
        b"Transfer-Encoding: gzip",
    ):
        yield http(b"/", b"", header, method=b"GET", length=b"")
        yield form(part(PHOTO), headers=(header,))
    yield from (
        http(b"/", PHOTO, method=method, length=length)
        for method in (b"GET", b"POST")
        for length in (b"-1", b"1e3", b"0x10", b"9" * 30, b"1, 2", b"+5", b" ", b"99999999999", b"\xd9\xa1")
    )
    chunked = b"Transfer-Encoding: chunked"
    for body in (
        b"zz\r\n",
        b"-5\r\nabc\r\n0\r\n\r\n",
        b"5\r\nab\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\nx",
        b"1;" + b"x" * 9999 + b"\r\na\r\n0\r\n\r\n",
        b"0\r\nX: y\r\n\r\n",
        b"1\r\na\r\n" * 5000 + b"0\r\n\r\n",
        b"",
        b"5\r\nabcde",
        b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    ):
        yield http(b"/", body, chunked, b"Content-Type: multipart/form-data; boundary=sep", length=b"")
        yield http(b"/", body, chunked, length=b"5")
    yield from (
        b"\0" * 99,
        b"\x16\x03\1\2\0" + b"\0" * 512,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET  /  HTTP/1.1\r\n\r\n",
        b"G" * 99_999,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 9999 + b"\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"y" * 99_999 + b"\r\n\r\n",
        b"GET http://evil/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"\r\n" * 999,
        b"CONNECT evil:443 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded\r\n\r\n",
    )
    yield from (damaged(form(part(PHOTO)), chance) for _ in range(200))


def paths(chance: random.Random) -> Iterator[bytes]:
    for path in PATHS:
        for id in IDS if b"%s" in path else IDS[:1]:
            where = path.replace(b"%s", id)
            yield http(where, method=b"GET", length=b"")
            yield http(where, b"class=1&keep=on&correct=x", b"Content-Type: application/x-www-form-urlencoded")


def broken_off(chance: random.Random) -> Iterator[bytes]:
    """Yield requests that announce more than they send."""
    whole = form(part(PHOTO))
    yield from (whole[: chance.randrange(1, len(whole))] for _ in range(100))


WHOLE = {"images": images, "names": names, "forms": forms, "paths": paths}
BROKEN = {"HTTP": requests, "disconnects": broken_off}


def attacks(chance: random.Random, share: float = 1) -> list[Attack]:
    """Yield all attacks in one seeded order, or the given `share` of each kind."""
    made = [Attack(kind, request) for kind, make in WHOLE.items() for request in sampled(make, chance, share)]
    made += [Attack(kind, request, False) for kind, make in BROKEN.items() for request in sampled(make, chance, share)]
    chance.shuffle(made)
    return made


def sampled(make, chance: random.Random, share: float) -> list[bytes]:
    made = list(make(chance))
    return chance.sample(made, max(1, round(len(made) * share)))
