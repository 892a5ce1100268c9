"""What `POST /webhook` answers, asked over HTTP of a running `modal-runner serve`."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from google.protobuf.message import Message

from github_app.simulator.modal import Limits
from tests.worlds.control_plane import PAYLOADS, ControlPlane, running, until

# The shared app answers to simulators that live in the session's loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1024 * 1024
CAP = MIB
WORKFLOW = ".github/workflows/ci.yml"
QUEUED = (PAYLOADS / "workflow_job_5_queued.json").read_bytes()


async def test_the_last_answer_of_a_connection_says_so(control_plane: ControlPlane) -> None:
    """Nothing told of the end before, and what was sent on such a connection meanwhile failed."""
    address = urlsplit(control_plane.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    heads = []
    for _ in range(50):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        heads.append((await reader.readuntil(b"\r\n\r\n")).lower())
        await reader.readexactly(int(heads[-1].partition(b"content-length:")[2].split()[0]))
    rest = await reader.read()
    writer.close()

    assert [b"connection: close" in head for head in heads] == [False] * 49 + [True]
    assert rest == b""


async def test_another_method_is_answered_405(control_plane: ControlPlane) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for method in ("GET", "PUT", "DELETE", "HEAD"):
            assert (await client.request(method, f"{control_plane.url}/webhook")).status_code == 405


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/json", "", "application/jsonx"])
async def test_another_content_type_is_answered_415_with_what_to_set(
    control_plane: ControlPlane, content_type: str
) -> None:
    answer = await control_plane.send(QUEUED, content_type=content_type, x_hub_signature_256=control_plane.sign(QUEUED))
    assert answer.status_code == 415
    assert "application/json" in answer.json()["reason"]


async def test_a_charset_after_the_content_type_is_no_reason_to_refuse(control_plane: ControlPlane) -> None:
    body = b"{}"
    answer = await control_plane.send(
        body,
        content_type="Application/JSON; charset=utf-8",
        x_github_event="ping",
        x_hub_signature_256=control_plane.sign(body),
    )
    assert answer.status_code == 200


async def test_a_size_declared_over_the_cap_is_answered_413_before_any_of_the_body_is_sent(
    control_plane: ControlPlane,
) -> None:
    for declared in (str(CAP + 1), "9" * 400):
        head = await _raw(control_plane, f"Content-Length: {declared}")
        # An HTTP parser may itself refuse a number that no machine can hold.
        assert head.split()[1] in ({b"413"} if len(declared) < 20 else {b"413", b"400"})


async def test_a_body_over_the_cap_that_declares_no_size_is_answered_413_in_bounded_memory(
    control_plane: ControlPlane,
) -> None:
    before = control_plane.resident_mib()
    watch = asyncio.create_task(_most_memory(control_plane))
    head = await _raw(control_plane, "Transfer-Encoding: chunked", chunks=_chunks(MIB, 200))
    watch.cancel()
    most = await watch

    assert head.split()[1] == b"413"
    assert most - before < 80


async def test_a_body_of_exactly_the_cap_is_read(control_plane: ControlPlane) -> None:
    answer = await control_plane.deliver(b" " * CAP, event="push")
    assert (answer.status_code, answer.json()["status"]) == (202, "ignored")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        "0" * 64,
        "sha256=\xe4\xff",
        "\xff" * 71,
        "sha1=" + hmac.new(b"", QUEUED, hashlib.sha1).hexdigest(),
    ],
)
async def test_a_signature_that_is_missing_or_wrong_is_answered_401(
    control_plane: ControlPlane, header: str | None
) -> None:
    sent: dict[str, Any] = {"Content-Type": "application/json", "X-GitHub-Event": "ping"}
    if header is not None:
        sent["X-Hub-Signature-256"] = header.encode("latin-1")
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{control_plane.url}/webhook", content=QUEUED, headers=sent)

    assert answer.status_code == 401
    assert answer.json()["status"] == "rejected"


async def test_a_sha1_signature_by_the_right_secret_is_not_accepted(control_plane: ControlPlane) -> None:
    signature = "sha1=" + hmac.new(control_plane.app.webhook_secret.encode(), QUEUED, hashlib.sha1).hexdigest()
    for header in ("x_hub_signature", "x_hub_signature_256"):
        answer = await control_plane.send(
            QUEUED, content_type="application/json", x_github_event="ping", **{header: signature}
        )
        assert answer.status_code == 401


async def test_a_signature_covers_each_byte_of_the_body(control_plane: ControlPlane) -> None:
    answer = await control_plane.send(
        QUEUED + b" ",
        content_type="application/json",
        x_github_event="workflow_job",
        x_github_delivery=str(uuid.uuid4()),
        x_hub_signature_256=control_plane.sign(QUEUED),
    )
    assert answer.status_code == 401


async def test_the_signature_is_checked_before_the_payload_is_read(control_plane: ControlPlane) -> None:
    answer = await control_plane.send(b"{", content_type="application/json", x_github_event="workflow_job")
    assert answer.status_code == 401


async def test_a_ping_is_answered_pong(control_plane: ControlPlane) -> None:
    answer = await control_plane.deliver({"zen": "Keep it logically awesome."}, event="ping")
    assert (answer.status_code, answer.json()) == (200, {"status": "pong", "reason": None})


@pytest.mark.parametrize("event", ["installation", "installation_repositories", "push", "workflow_run", "future"])
async def test_an_event_that_is_nothing_to_act_on_is_ignored(control_plane: ControlPlane, event: str) -> None:
    answer = await control_plane.deliver({"action": "created"}, event=event)

    assert answer.status_code == 202
    assert answer.json()["status"] == "ignored"
    assert event in answer.json()["reason"]


async def test_an_action_that_github_may_add_is_ignored(control_plane: ControlPlane) -> None:
    answer = await control_plane.deliver(control_plane.queued("modal") | {"action": "paused"})
    assert (answer.status_code, answer.json()["status"]) == (202, "ignored")


async def test_fields_that_github_may_add_change_nothing(control_plane: ControlPlane) -> None:
    payload = control_plane.queued("ubuntu-latest")
    payload["new"] = payload["workflow_job"]["new"] = payload["repository"]["owner"]["new"] = {"deep": [1, None]}
    payload["workflow_job"]["status"] = "pending"
    answer = await control_plane.deliver(payload)

    assert (answer.status_code, answer.json()["status"]) == (202, "ignored")


@pytest.mark.parametrize("field", ["head_branch", "created_at", "run_attempt", "name", "runner_name", "conclusion"])
async def test_a_field_that_nothing_depends_on_may_be_missing(control_plane: ControlPlane, field: str) -> None:
    payload = control_plane.queued("ubuntu-latest")
    payload["workflow_job"].pop(field, None)

    assert (await control_plane.deliver(payload)).status_code == 202


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("action", 7),
        ("workflow_job", None),
        ("workflow_job.id", "11"),
        ("workflow_job.id", 0),
        ("workflow_job.run_id", None),
        ("workflow_job.labels", "modal"),
        ("workflow_job.labels", [1]),
        ("workflow_job.created_at", "yesterday"),
        ("repository.id", -3),
        ("repository.private", "yes"),
        ("repository.full_name", "no-slash"),
        ("repository.owner", []),
        ("repository.owner.login", "octo/../x?y=1#z"),
        ("installation.id", 1.5),
    ],
)
async def test_a_field_of_a_wrong_kind_is_answered_400_and_named(
    control_plane: ControlPlane, path: str, value: object
) -> None:
    payload = control_plane.queued("modal")
    parent, _, last = path.rpartition(".")
    _at(payload, parent)[last] = value
    answer = await control_plane.deliver(payload)

    assert answer.status_code == 400
    assert path in answer.json()["reason"]


async def test_labels_that_were_meant_to_be_ours_are_ignored_with_a_line_in_the_log(
    control_plane: ControlPlane,
) -> None:
    answer = await control_plane.deliver(control_plane.queued("self-hosted, modal"))

    assert (answer.status_code, answer.json()["status"]) == (202, "ignored")
    assert "write [self-hosted, modal]" in answer.json()["reason"]
    assert "labels_look_wrong" in control_plane.log.read_text()


async def test_deliveries_that_are_nothing_to_act_on_are_told_of_together(control_plane: ControlPlane) -> None:
    def told() -> list[str]:
        return [
            line for line in control_plane.log.read_text().splitlines() if '"ignored"' in line or "_ignored" in line
        ]

    await control_plane.deliver({}, event="push")
    before = told()
    for _ in range(5):
        assert (await control_plane.deliver({}, event="push")).json()["status"] == "ignored"

    assert len(told()) - len(before) <= 1
    assert {json.loads(line)["event"] for line in told()} == {"deliveries_ignored"}


async def test_a_delivery_of_a_repositorys_own_webhook_is_ignored(control_plane: ControlPlane) -> None:
    payload = control_plane.queued("modal")
    del payload["installation"]
    before = await control_plane.quiet()
    answer = await control_plane.deliver(payload)

    assert answer.status_code == 202
    assert answer.json()["status"] == "ignored"
    assert "delete that webhook" in answer.json()["reason"]
    # Nothing is parked, or asked of anyone.
    assert await control_plane.quiet() == before


@pytest.mark.parametrize("path", ["workflow_job", "workflow_job.labels", "repository.owner.login"])
async def test_a_field_that_is_missing_is_answered_400_and_named(control_plane: ControlPlane, path: str) -> None:
    payload = control_plane.queued("modal")
    parent, _, last = path.rpartition(".")
    del _at(payload, parent)[last]
    answer = await control_plane.deliver(payload)

    assert answer.status_code == 400
    assert last in answer.json()["reason"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe{}",
        QUEUED.replace(b'"queued"', b'"que\xffued"', 1),
        pytest.param(QUEUED.strip()[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="deep"),
        pytest.param(b"[" * 100_000, id="deep and open"),
    ],
)
async def test_a_body_that_is_no_json_object_of_the_right_kind_is_answered_400(
    control_plane: ControlPlane, body: bytes
) -> None:
    answer = await control_plane.deliver(body)

    assert answer.status_code == 400
    assert answer.json()["status"] == "rejected"


@pytest.mark.parametrize("login", ["octo\n", "..", "."])
async def test_a_name_that_would_lead_to_another_url_is_answered_400(control_plane: ControlPlane, login: str) -> None:
    payload = control_plane.queued("modal")
    payload["repository"]["owner"]["login"] = login

    assert (await control_plane.deliver(payload)).status_code == 400


@pytest.mark.parametrize("name", ["../..", "octo-org/..", "./x", "octo-org/" + "x" * 300])
async def test_a_repository_that_httpx_would_make_another_path_is_answered_400(
    control_plane: ControlPlane, name: str
) -> None:
    payload = control_plane.queued("modal")
    payload["repository"]["full_name"] = name

    assert (await control_plane.deliver(payload)).status_code == 400


async def test_an_upload_that_is_broken_off_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    async with running(tmp_path) as plane:
        host, port = plane.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.transport.abort()
        await until(lambda: "delivery_aborted" in plane.log.read_text())

        assert "Traceback" not in plane.log.read_text()


async def test_a_time_that_no_clock_can_show_is_answered_400(control_plane: ControlPlane) -> None:
    payload = control_plane.queued("modal")
    payload["workflow_job"]["created_at"] = "0001-01-01T00:00:00"

    assert (await control_plane.deliver(payload)).status_code == 400


@pytest.mark.parametrize("missing", ["x_github_event", "x_github_delivery"])
async def test_a_delivery_without_one_of_githubs_headers_is_answered_400_and_it_is_named(
    control_plane: ControlPlane, missing: str
) -> None:
    headers = {
        "content_type": "application/json",
        "x_github_event": "workflow_job",
        "x_github_delivery": str(uuid.uuid4()),
        "x_hub_signature_256": control_plane.sign(QUEUED),
    }
    del headers[missing]
    answer = await control_plane.send(QUEUED, **headers)

    assert answer.status_code == 400
    assert missing.replace("_", "-") in answer.json()["reason"].lower()


async def test_recorded_deliveries_of_jobs_for_other_runners_touch_neither_store_nor_github(
    control_plane: ControlPlane,
) -> None:
    # What an earlier test has left to be done after its answer is none of this.
    before = await control_plane.quiet()
    answers = [await control_plane.deliver(_with_installation(file)) for file in sorted(PAYLOADS.glob("*.json"))]

    assert {(answer.status_code, answer.json()["status"]) for answer in answers} == {(202, "ignored")}
    assert control_plane.github.calls + control_plane.modal.calls == before


@pytest.mark.parametrize(
    ("label", "nearest"), [("gpu:h1000", "gpu:h100"), ("GPU:A10G", "gpu:a10"), ("gpu:l40", "gpu:l4")]
)
async def test_a_label_that_cannot_be_served_is_refused_with_the_nearest_that_can(
    control_plane: ControlPlane, label: str, nearest: str
) -> None:
    answer = await control_plane.deliver(control_plane.queued("self-hosted", "modal", label))

    assert (answer.status_code, answer.json()["status"]) == (202, "refused")
    assert f"'{nearest}" in answer.json()["reason"]


async def test_a_delivery_is_accepted_once_and_then_a_duplicate(tmp_path: Path) -> None:
    async with running(tmp_path) as plane:
        payload, guid = plane.queued("self-hosted", "modal"), str(uuid.uuid4())
        first = await plane.deliver(payload, guid=guid)
        again = await plane.deliver(payload, guid=guid)
        await until(lambda: any(view.started_at for view in plane.modal.sandboxes()))

        assert (first.status_code, first.json()) == (202, {"status": "accepted", "reason": None})
        assert (again.status_code, again.json()["status"]) == (202, "duplicate")
        assert [view.name for view in plane.modal.sandboxes()] == [f"modal-{payload['workflow_job']['id']}-1"]


async def test_a_job_announced_under_two_guids_gets_one_runner(tmp_path: Path) -> None:
    async with running(tmp_path) as plane:
        payload = plane.queued("self-hosted", "modal")
        answers = await asyncio.gather(*(plane.deliver(payload) for _ in range(5)))
        await until(lambda: any(view.started_at for view in plane.modal.sandboxes()))
        await asyncio.sleep(0.5)

        assert {answer.json()["status"] for answer in answers} <= {"accepted", "duplicate"}
        assert len(plane.modal.sandboxes()) == 1
        assert plane.github.calls["POST /orgs/{org}/actions/runners/generate-jitconfig"] == 1


class OneReadIsSlow:
    """The first look at what is known of a job takes a second."""

    def __init__(self) -> None:
        self._waited = False

    async def before(self, rpc: str, request: Message) -> None:
        """Wait once."""
        if rpc == "DictGet" and not self._waited:
            self._waited = True
            await asyncio.sleep(1.0)

    async def after(self, rpc: str, request: Message, response: Message) -> None:
        """Go on."""


async def test_a_body_that_comes_twice_at_once_starts_its_job_at_once(tmp_path: Path) -> None:
    """The first had the claim, read late, and found the second's record: each left the job to the other."""
    async with running(tmp_path, settings={"SWEEP_INTERVAL_SECONDS": "0"}) as plane:
        await plane.quiet()
        plane.modal.interceptor = OneReadIsSlow()
        payload = plane.queued("self-hosted", "modal")
        await asyncio.gather(plane.deliver(payload), plane.deliver(payload))
        await until(lambda: any(view.started_at for view in plane.modal.sandboxes()), within=12)

        assert len(plane.modal.sandboxes()) == 1


async def test_deliveries_are_answered_and_served_while_a_gpu_is_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path, limits=Limits(gpus=0)) as plane:
        began = asyncio.get_running_loop().time()
        repository = plane.github.world.add_repository(plane.organization, "app")
        workflow = b"on: push\njobs:\n  train:\n    runs-on: [modal, 'gpu:h100']\n    steps: [{run: 'true'}]\n"
        # One that GitHub knows of: with a GPU it is asked.
        plane.github.actions.push(repository, {WORKFLOW: workflow}, WORKFLOW)
        await until(plane.modal.sandboxes)
        other = await plane.deliver(plane.queued("self-hosted", "modal"))
        await until(lambda: len(plane.modal.sandboxes()) == 2 and plane.modal.sandboxes()[1].started_at)
        gpu, cpu = plane.modal.sandboxes()

        assert asyncio.get_running_loop().time() - began < 5
        assert other.json()["status"] == "accepted"
        assert (gpu.started_at, gpu.running, cpu.running) == (None, True, True)
        # Nothing here frees a GPU, and an end in order would wait for one.
        plane.kill()


async def test_a_delivery_that_could_not_be_recorded_is_answered_so_that_github_lists_it_as_failed(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as plane:
        payload, guid = plane.queued("self-hosted", "modal"), str(uuid.uuid4())
        await plane.modal.stop()
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            body = json.dumps(payload).encode()
            headers = {
                "Content-Type": "application/json",
                "X-GitHub-Event": "workflow_job",
                "X-GitHub-Delivery": guid,
                "X-Hub-Signature-256": plane.sign(body),
            }
            answer = await client.post(f"{plane.url}/webhook", content=body, headers=headers)
        plane.kill()

        assert answer.status_code == 503
        assert answer.json()["status"] == "failed"


async def test_the_health_check_says_ok(control_plane: ControlPlane) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{control_plane.url}/healthz")
    assert answer.status_code == 200


def _with_installation(file: Path) -> dict[str, Any]:
    """A recorded payload as an App gets it; those recorded from another kind of webhook lack the installation."""
    payload: dict[str, Any] = json.loads(file.read_bytes())
    return {"installation": {"id": 1}} | payload


def _at(payload: dict[str, Any], path: str) -> dict[str, Any]:
    found = payload
    for name in filter(None, path.split(".")):
        found = found[name]
    return found


def _chunks(size: int, count: int) -> Iterator[bytes]:
    chunk = f"{size:x}\r\n".encode() + b"x" * size + b"\r\n"
    return (chunk for _ in range(count))


async def _raw(plane: ControlPlane, header: str, chunks: Iterable[bytes] = ()) -> bytes:
    """Send a request as bytes, and return the head of the answer; the server may answer and hang up at any time.

    What is unread when it hangs up has its system send a reset, which may overtake the answer (RFC 9112, 9.6).
    """
    for _ in range(4):
        with contextlib.suppress(ConnectionResetError):
            return await _raw_once(plane, header, chunks)
    return await _raw_once(plane, header, chunks)


async def _raw_once(plane: ControlPlane, header: str, chunks: Iterable[bytes]) -> bytes:
    address = urlsplit(plane.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{header}\r\n\r\n"

    async def send() -> None:
        writer.write(head.encode())
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(20):
            answer = await reader.readuntil(b"\r\n\r\n")
            await asyncio.wait([sending])
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()
    return answer


async def _most_memory(plane: ControlPlane) -> float:
    """The most memory seen until cancelled."""
    most = 0.0
    try:
        while True:
            most = max(most, plane.resident_mib())
            await asyncio.sleep(0.005)
    except asyncio.CancelledError:
        return most
