"""The guard: who may ask, and how large and slow a body may be."""

import asyncio
import gzip
import json
import zlib

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from foveate.errors import ConfigError, DataError, OutputError
from foveate.server.guard import SECURITY_HEADERS, Guard, Launch, Policy, gunzip
from foveate.server.problem import HANDLERS, PROBLEMS, Problem

HERE = "http://127.0.0.1:8400"


async def echo(request: Request):
    return JSONResponse({"size": len(await request.body())})


async def fail(request: Request):
    raise {
        "data": DataError("a.png: damaged;\n replace it"),
        "config": ConfigError("--tile is 3; give 64 or more"),
        "output": OutputError("cannot write a.json: No space left on device"),
        "bug": ZeroDivisionError("secret of the inside"),
        "stale": Problem("stale", "it is newer; look again", {"ETag": '"2"'}, {"revision": "2"}),
    }[request.path_params["kind"]]


async def page(request: Request):
    return PlainTextResponse("page", headers={"Content-Security-Policy": "default-src 'none'"})


ROUTES = [
    Route("/", page),
    Route("/api/echo", echo, methods=["POST", "PUT"]),
    Route("/api/fail/{kind}", fail, methods=["GET"]),
    Route("/healthz", lambda request: PlainTextResponse("ok")),
]


def client(policy: Policy | None = None, base: str = HERE) -> TestClient:
    app = Guard(Starlette(routes=ROUTES, exception_handlers=HANDLERS), policy or Policy())
    return TestClient(app, base_url=base, follow_redirects=False)


def code(response) -> tuple[int, str]:
    body = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert set(body) >= {"status", "code", "title", "detail", "request_id"}
    assert body["status"] == response.status_code and body["request_id"] == response.headers["x-request-id"]
    return response.status_code, body["code"]


@pytest.mark.parametrize("host", ["127.0.0.1:8400", "localhost", "LOCALHOST:1", "[::1]:8400", "127.0.0.1"])
def test_names_of_loopback_are_served(host):
    assert client().get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.", "127.0.0.1@evil.example", "evil/localhost", "", "::1"],
)
def test_another_host_is_refused(host):
    response = client().get("/healthz", headers={"host": host})
    assert code(response) == (403, "host")
    assert "--allow-host NAME" in response.json()["detail"]


def test_two_hosts_are_none():
    assert code(client().get("/healthz", headers=[("host", "localhost"), ("host", "localhost")])) == (403, "host")


def test_a_host_can_be_allowed():
    policy = Policy(hosts=frozenset({"gpu.example"}))
    assert client(policy).get("/healthz", headers={"host": "GPU.example:80"}).status_code == 200


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),  # a client that is no browser, sending raw bytes
        (JSON, 200),
        (JSON | {"origin": HERE}, 200),
        (JSON | {"origin": HERE, "sec-fetch-site": "same-origin"}, 200),
        ({"content-type": "image/png", "sec-fetch-site": "none"}, 200),
        ({"content-type": "audio/wav; rate=16000"}, 200),
        ({"content-type": "application/octet-stream"}, 200),
        (JSON | {"origin": "http://evil.example"}, (403, "origin")),
        (JSON | {"origin": "null"}, (403, "origin")),
        (JSON | {"origin": "http://127.0.0.1:8401"}, (403, "origin")),
        (JSON | {"origin": "http://localhost:8400"}, (403, "origin")),
        (JSON | {"origin": "file://127.0.0.1:8400"}, (403, "origin")),
        (JSON | {"sec-fetch-site": "cross-site"}, (403, "origin")),
        (JSON | {"origin": HERE, "sec-fetch-site": "same-site"}, (403, "origin")),
        ({"origin": HERE}, (415, "content-type")),
        ({"content-type": "text/plain"}, (415, "content-type")),
        ({"content-type": "multipart/form-data; boundary=x"}, (415, "content-type")),
        ({"content-type": "application/x-www-form-urlencoded"}, (415, "content-type")),
        ({"content-type": "application/json, text/plain"}, (415, "content-type")),
        ({"content-type": "image/"}, (415, "content-type")),
        ({"content-type": ""}, (415, "content-type")),
    ],
)
def test_what_a_page_of_another_site_may_not_send(headers, expected):
    response = client().post("/api/echo", content=b"{}", headers=headers)
    assert (response.status_code if response.status_code == 200 else code(response)) == expected


def test_a_default_port_may_be_left_out():
    headers = JSON | {"origin": "https://gpu.example", "host": "gpu.example:443"}
    assert client(Policy(hosts=frozenset({"gpu.example"}))).post("/api/echo", headers=headers).status_code == 200


def test_reading_needs_no_origin_and_no_permission_is_ever_given():
    response = client().get("/", headers={"origin": "http://evil.example"})
    assert response.status_code == 200
    preflight = client().options("/api/echo", headers={"origin": "http://evil.example"})
    assert code(preflight) == (403, "origin")
    assert not [name for r in (response, preflight) for name in r.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/healthz", "/api/none", "/api/fail/bug"])
def test_every_answer_has_the_headers(path):
    headers = client().get(path).headers
    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert len(headers["x-request-id"]) == 16
    assert client().get(path).headers["x-request-id"] != headers["x-request-id"]


def test_a_page_may_have_a_policy_of_its_own():
    assert client().get("/").headers.get_list("content-security-policy") == ["default-src 'none'"]


# Errors


@pytest.mark.parametrize(
    ("path", "expected", "detail"),
    [
        ("/api/fail/data", (422, "input"), "a.png: damaged; replace it"),
        ("/api/fail/config", (422, "option"), "--tile is 3; give 64 or more"),
        ("/api/fail/output", (507, "disk"), "cannot write a.json: No space left on device"),
        ("/api/fail/stale", (412, "stale"), "it is newer; look again"),
        ("/api/none", (404, "not-found"), "no such address; GET /openapi.json lists those that there are"),
        ("/api/echo", (405, "method"), "the method is not allowed here; allowed: POST, PUT"),
    ],
)
def test_errors_keep_their_text(path, expected, detail):
    response = client().get(path)
    assert code(response) == expected
    given = response.json()["detail"]
    assert sorted(given) == sorted(detail) if expected[0] == 405 else given == detail


def test_a_fault_of_the_server_tells_its_id_and_nothing_else(caplog):
    response = client().get("/api/fail/bug")
    assert code(response) == (500, "internal")
    assert "secret" not in response.text and "Traceback" not in response.text
    assert response.headers["x-request-id"] in caplog.text and "secret of the inside" in caplog.text


def test_a_problem_carries_headers_and_more():
    response = client().get("/api/fail/stale")
    assert response.headers["etag"] == '"2"' and response.json()["revision"] == "2"


def test_codes_have_one_status_each():
    assert all(400 <= status < 600 and title for status, title in PROBLEMS.values())


# Bodies


def test_a_large_body_is_refused_before_it_is_read():
    policy = Policy(max_bytes=1000)
    assert client(policy).post("/api/echo", content=b"x" * 1000, headers=JSON).json() == {"size": 1000}
    response = client(policy).post("/api/echo", content=b"x" * 1001, headers=JSON)
    assert code(response) == (413, "too-large")
    assert response.json()["detail"] == "the body has 1,001 bytes; at most 1,000 are taken: send less"


POLICY = Policy()


def ask(messages, headers=(), policy=POLICY, delay=0.0):
    """Send messages to a guarded application; the status, the body, and how many messages were read."""
    sent, read = [], []

    async def receive():
        if len(read) == len(messages):
            await asyncio.sleep(60)
        if read:
            await asyncio.sleep(delay)
        read.append(messages[len(read)])
        return read[-1]

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/api/echo", "raw_path": b"/api/echo", "query_string": b"",
        "headers": [(b"host", b"localhost"), *headers], "scheme": "http", "http_version": "1.1", "root_path": "",
    }  # fmt: skip
    app = Guard(Starlette(routes=ROUTES, exception_handlers=HANDLERS), policy)
    asyncio.run(app(scope, receive, send))
    status = next(m for m in sent if m["type"] == "http.response.start")
    body = b"".join(m.get("body", b"") for m in sent)
    return status["status"], json.loads(body), dict(status["headers"]), len(read)


def chunks(count, size=100):
    return [{"type": "http.request", "body": b"x" * size, "more_body": i + 1 < count} for i in range(count)]


def test_a_chunked_body_is_counted():
    assert ask(chunks(10), policy=Policy(max_bytes=1000))[:2] == (200, {"size": 1000})
    status, body, headers, read = ask(chunks(12), policy=Policy(max_bytes=1000))
    assert (status, body["code"], read) == (413, "too-large", 12)  # the rest is read, so that the answer is heard
    assert b"connection" not in headers


def test_an_endless_body_is_left():
    status, _, headers, read = ask(chunks(1000), policy=Policy(max_bytes=1000))
    assert (status, read, headers[b"connection"]) == (413, 21, b"close")


def test_a_client_that_asks_first_is_told_before_it_sends():
    headers = [(b"expect", b"100-continue"), (b"content-length", b"2000")]
    status, _, answer, read = ask(chunks(20), headers, Policy(max_bytes=1000))
    assert (status, read, answer[b"connection"]) == (413, 0, b"close")


def test_a_refused_client_that_sends_nothing_is_not_waited_for():
    """`ask` fails where the rest is waited for until the grace of a slow body is over."""
    headers = [(b"content-length", b"2000")]
    status, _, answer, _ = ask([], headers, Policy(max_bytes=1000, grace=1000))
    assert (status, answer[b"connection"]) == (413, b"close")


def test_a_slow_body_is_left():
    policy = Policy(grace=0.05, bytes_per_second=10_000)
    assert ask(chunks(10), policy=policy)[0] == 200
    status, body, headers, _ = ask(chunks(50), policy=policy, delay=0.03)
    assert (status, body["code"], headers[b"connection"]) == (408, "slow-body", b"close")
    assert ask(chunks(5)[:-1], policy=policy)[0] == 408  # the rest never comes


def test_a_body_of_the_least_rate_is_taken_however_long():
    policy = Policy(grace=0.1, bytes_per_second=1000)
    assert ask(chunks(8), policy=policy, delay=0.05)[:2] == (200, {"size": 800})


def test_gzip_is_bounded():
    assert gunzip(gzip.compress(b"x" * 1000), 1000) == b"x" * 1000
    for data, expected in [
        (gzip.compress(b"x" * 1001), "too-large"),
        (b"plain", "bad-request"),
        (gzip.compress(b"x" * 1000)[:-4], "bad-request"),
        (gzip.compress(b"x") + b"more", "bad-request"),
        (zlib.compress(b"x"), "bad-request"),
    ]:
        with pytest.raises(Problem) as raised:
            gunzip(data, 1000)
        assert raised.value.code == expected


# Tokens


def test_a_token_is_asked_for():
    guarded = client(Policy(token="s3cret"))
    assert guarded.get("/healthz").status_code == 200
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "s3cret"},
        {"authorization": "Basic s3cret"},
    ):
        response = guarded.get("/", headers=headers)
        assert code(response) == (401, "token") and response.headers["www-authenticate"] == "Bearer"
    assert guarded.get("/?t=s3cret").status_code == 401
    assert guarded.get("/", headers={"authorization": "bearer s3cret"}).text == "page"


def test_open_paths():
    policy = Policy(open_paths=("/", "/static/"))
    assert [policy.is_open(p) for p in ("/", "/static/a.js", "/api", "/static", "/statics")] == [1, 1, 0, 0, 0]


def test_a_browser_is_let_in_once_by_each_token():
    told = []
    launch = Launch(8400, told.append)
    guarded = client(Policy(launch=launch))
    assert code(guarded.get("/")) == (401, "token")
    assert code(guarded.get("/?t=wrong")) == (401, "token")
    first = told[-1]
    opened = guarded.get(f"/?t={first}")
    assert opened.status_code == 200 and 'content="0; url=/"' in opened.text and first not in opened.text
    cookie = opened.headers["set-cookie"]
    assert cookie.startswith("foveate-8400=") and "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert first not in cookie and "Path=/" in cookie
    assert guarded.get("/").text == "page"
    assert guarded.get(f"/?t={first}").status_code == 200  # from the browser's history
    another = client(Policy(launch=launch))
    assert code(another.get(f"/?t={first}")) == (401, "token")
    assert len(told) == 2
    assert another.get(f"/?t={told[1]}").status_code == 200 and another.get("/").text == "page"


def test_a_cookie_of_another_port_or_value_opens_nothing():
    launch = Launch(8400)
    guarded = client(Policy(launch=launch))
    value = guarded.get(f"/?t={launch.token}").headers["set-cookie"].partition("=")[2].partition(";")[0]
    for cookie in (f"foveate-8401={value}", "foveate-8400=x", "foveate-8400=", "\x01;;=", f"x-foveate-8400={value}"):
        assert not launch.admits(cookie)
    assert launch.admits(f"a=b; foveate-8400={value}")


def test_the_page_after_a_token_stays_on_the_server():
    opened = bytes(Launch(8400).opened('//evil.example/"><script>').body).decode()
    assert "<script" not in opened and 'url=/evil.example/script"' in opened


def test_answers_are_observed():
    seen = []
    policy = Policy(observe=lambda scope, status, seconds: seen.append((scope["path"], status, seconds >= 0)))
    client(policy).get("/healthz", headers={"host": "evil.example"})
    client(policy).get("/")
    assert seen == [("/healthz", 403, True), ("/", 200, True)]
