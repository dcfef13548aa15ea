"""The queue of background work: order, progress, cancelling, requests that go first, what is remembered."""

from __future__ import annotations

import threading
import time

import pytest

from protoexplain.errors import UserError
from protoexplain_app.jobs import WAITING, Job, JobKey, JobQueue, JobState, Requests

KEY = JobKey("survey", "model")


def until(fits, seconds=10):
    deadline = time.monotonic() + seconds
    while not fits():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ended(jobs, key):
    until(lambda: not jobs.find(key).under_way)
    return jobs.find(key)


@pytest.fixture
def gate():
    """Opened when the test is over, so that no work outlives it."""
    event = threading.Event()
    yield event
    event.set()


def at(gate, result=None):
    """Work that takes steps until the gate is open."""

    def work(job):
        for step in range(10_000):
            job.progress("waiting at the gate", step, 10_000)
            if gate.wait(0.005):
                break
        return result

    return work


def test_a_job_tells_how_far_it_is_and_what_it_found(jobs, gate):
    def work(job):
        job.show("a part")
        job.line("one was left out")
        job.progress("counting", 3, 7)
        gate.wait(10)
        return "all"

    assert jobs.find(KEY) == Job()
    assert jobs.submit(KEY, work, total=7) == Job(JobState.WAITING, WAITING, total=7)
    until(lambda: jobs.find(KEY).done == 3)
    assert jobs.find(KEY) == Job(JobState.RUNNING, "counting", 3, 7, "a part", ("one was left out",))
    gate.set()
    assert ended(jobs, KEY) == Job(JobState.FINISHED, "", 7, 7, "all", ("one was left out",))


def test_those_of_one_kind_wait_for_each_other_and_no_others(jobs, gate):
    second, other = JobKey("survey", "other model"), JobKey("report", "model")
    jobs.submit(KEY, at(gate))
    jobs.submit(second, lambda job: 2)
    jobs.submit(other, lambda job: 3)
    assert ended(jobs, other).result == 3
    assert jobs.find(second).state == JobState.WAITING
    gate.set()
    assert ended(jobs, second).result == 2


def test_who_asks_for_the_same_shares_a_job_while_it_is_under_way(jobs, gate):
    jobs.submit(KEY, at(gate, "first"))
    assert jobs.submit(KEY, lambda job: "second").under_way
    gate.set()
    assert ended(jobs, KEY).result == "first"
    jobs.submit(KEY, lambda job: "third")
    assert ended(jobs, KEY).result == "third"


def test_cancelled_before_it_has_begun_and_at_its_next_step(jobs, gate):
    waiting = JobKey("survey", "other model")
    jobs.submit(KEY, at(gate))
    jobs.submit(waiting, lambda job: "never")
    jobs.cancel(waiting)
    assert jobs.find(waiting).state == JobState.CANCELLED
    until(lambda: jobs.find(KEY).state == JobState.RUNNING)
    jobs.cancel(KEY)
    assert ended(jobs, KEY).state == JobState.CANCELLED
    jobs.cancel(KEY)
    jobs.submit(KEY, lambda job: "again")
    assert ended(jobs, KEY).result == "again"


def test_a_job_goes_on_when_every_request_is_answered(jobs):
    with jobs.requests.answering():
        with jobs.requests.answering():
            jobs.submit(KEY, lambda job: "done")
        time.sleep(0.1)
        assert jobs.find(KEY).state == JobState.WAITING
    assert ended(jobs, KEY).result == "done"


def test_a_job_ends_though_there_is_always_somebody_who_waits(jobs, monkeypatch):
    monkeypatch.setattr("protoexplain_app.jobs.PATIENCE", 0.05)
    with jobs.requests.answering():
        jobs.submit(KEY, lambda job: [job.progress("looking", step, 3) for step in range(3)] and "done")
        assert ended(jobs, KEY).result == "done"


def test_whoever_answers_a_request_never_waits_for_a_job(jobs, gate):
    """A job holds still while a request is answered, so a request that waited for it would never end."""
    jobs.submit(KEY, at(gate))
    until(lambda: jobs.find(KEY).state == JobState.RUNNING)
    with jobs.requests.answering():
        started = time.monotonic()
        jobs.submit(JobKey("survey", "other model"), at(gate))
        jobs.find(KEY)
        jobs.cancel(JobKey("survey", "other model"))
        jobs.cancel(KEY)
        until(lambda: not jobs.find(KEY).under_way, seconds=1)
        assert time.monotonic() - started < 1
    assert jobs.find(KEY).state == JobState.CANCELLED


def test_what_went_wrong_is_told_and_what_is_ours_is_logged(jobs, caplog):
    def refuse(job):
        raise UserError("no such thing", "", "take another")

    jobs.submit(KEY, refuse)
    assert ended(jobs, KEY).error.what == "no such thing"
    assert not caplog.records
    jobs.submit(KEY, lambda job: 1 / 0)
    job = ended(jobs, KEY)
    assert (job.state, job.error.fix) == (JobState.FAILED, "see its log")
    assert "survey" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_the_results_asked_for_longest_ago_make_room(gate):
    jobs = JobQueue(Requests(), remembered=2)
    jobs.submit(KEY, at(gate))
    keys = [JobKey("report", number) for number in range(3)]
    for number, key in enumerate(keys[:2]):
        jobs.submit(key, lambda job, number=number: number)
        ended(jobs, key)
    jobs.find(keys[0])
    jobs.remember(keys[2], Job(JobState.FINISHED, result=2))
    assert [jobs.find(key).result for key in keys] == [0, None, 2]
    assert jobs.find(KEY).under_way, "what is under way stays"
    jobs.forget(KEY)
    assert jobs.find(KEY).under_way
    jobs.forget(keys[2])
    assert jobs.find(keys[2]) == Job()
    jobs.close()


def test_a_closed_queue_ends_its_jobs(gate):
    jobs, waiting = JobQueue(Requests()), JobKey("survey", "other model")
    jobs.submit(KEY, at(gate))
    jobs.submit(waiting, at(gate))
    jobs.close()
    assert ended(jobs, KEY).state == JobState.CANCELLED
    assert ended(jobs, waiting).state == JobState.CANCELLED


def test_work_ends_when_nobody_wants_its_result_any_more(gate):
    jobs = JobQueue(Requests(), abandoned=0.5)
    jobs.submit(KEY, at(gate))
    asked_until = time.monotonic() + 1
    while time.monotonic() < asked_until:
        assert jobs.find(KEY).under_way, "a page that asks keeps its job"
        time.sleep(0.02)
    time.sleep(1)
    assert jobs.find(KEY).state == JobState.CANCELLED
    jobs.close()
