"""Closing, garbage collection, callbacks, threads, the end of the program, leaks."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import omniid
import pytest
from omniid import ConditioningInput, Engine, Stage


def test_closing_twice_and_using_what_is_closed(model_path, photos):
    engine = Engine.open(model_path)
    identity = engine.encode(photos[0]).identity
    conditioning = engine.condition(identity)
    with engine:
        pass
    engine.close()
    assert engine.closed and repr(engine) == "Engine(closed)"
    for use in (lambda: engine.encode(photos[0]), lambda: engine.info, engine.__enter__, lambda: engine.host_layers,
                lambda: engine.condition(identity), lambda: engine.similarity(identity, identity)):  # fmt: skip
        with pytest.raises(omniid.ClosedError, match="Engine is closed"):
            use()
    assert identity.info.photos == 1  # what an engine has made does not need it
    other = Engine.open(model_path)
    identity.close()
    for use in (identity.tokens, lambda: other.condition(identity), lambda: other.extend(identity, photos[0]),
                lambda: other.condition(ConditioningInput(identity)), identity.to_bytes):  # fmt: skip
        with pytest.raises(ValueError, match="Identity is closed"):
            use()
    query = np.ones((1, 2, 16), np.float32)
    conditioning.inject(0, query, np.zeros_like(query))
    conditioning.close()
    for use in (lambda: conditioning.inject(0, query, query.copy()), lambda: conditioning.keys(0)):
        with pytest.raises(omniid.ClosedError, match="Conditioning is closed"):
            use()
    assert conditioning.layer_count == 2 and repr(conditioning) == "Conditioning(closed)"


def test_handles_are_not_made_copied_or_pickled_by_hand(identity):
    import copy
    import pickle

    for kind in (omniid.Engine, omniid.Identity, omniid.Conditioning, omniid.Tensor):
        with pytest.raises(TypeError):
            kind()
    for action in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            action(identity)


def test_the_garbage_collector_frees_cycles(engine, photos):
    identity = engine.encode(photos[0]).identity
    holder = {"identity": identity}
    holder["self"] = holder
    gone = weakref.ref(identity)
    del identity, holder
    gc.collect()
    assert gone() is None


def test_closing_during_a_call_waits_for_it(model_path, photos):
    engine = Engine.open(model_path)
    inside, go = threading.Event(), threading.Event()

    def report(*_):
        inside.set()
        assert go.wait(30)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine.encode, photos, progress=report)
        assert inside.wait(30)
        engine.close()
        gc.collect()
        go.set()
        assert running.result().identity.info.photos == 3
    with pytest.raises(omniid.ClosedError):
        engine.encode(photos)


def test_progress_tells_stages_in_order(engine, photos, model_path, identity):
    seen, threads = [], set()
    engine.encode(photos, progress=lambda *values: (seen.append(values), threads.add(threading.get_ident())))
    assert threads == {threading.get_ident()}  # the call's own
    assert {stage for stage, _, _ in seen} == {Stage.PHOTOS, Stage.ENCODE}
    for stage in (Stage.PHOTOS, Stage.ENCODE):
        done = [(number, total) for other, number, total in seen if other == stage]
        assert done[-1] == (3, 3) and [n for n, _ in done] == sorted(n for n, _ in done)
    seen.clear()
    Engine.open(model_path, progress=lambda *values: seen.append(values)).close()
    engine.condition(identity, progress=lambda *values: seen.append(values))
    assert {stage for stage, _, _ in seen} == {Stage.LOAD, Stage.CONDITION}


@pytest.mark.parametrize("call", ["open", "encode", "extend", "condition"])
def test_exceptions_in_progress_come_out_and_nothing_is_made(call, engine, model_path, photos, identity):
    calls = {
        "open": lambda **more: Engine.open(model_path, **more),
        "encode": lambda **more: engine.encode(photos, **more),
        "extend": lambda **more: engine.extend(identity, photos, **more),
        "condition": lambda **more: engine.condition(identity, **more),
    }[call]

    class Mine(Exception):
        pass

    def fail(*_):
        raise Mine("from the callback")

    with pytest.raises(Mine, match="from the callback"):
        calls(progress=fail)
    with pytest.raises(omniid.CancelledError):
        calls(progress=lambda *_: False)
    stop = threading.Event()
    with pytest.raises(omniid.CancelledError):
        calls(progress=lambda *_: stop.set(), cancel=stop)
    with pytest.raises(omniid.CancelledError):
        calls(cancel=stop)
    with pytest.raises(omniid.InvalidArgumentError):
        calls(progress=5)
    with pytest.raises(omniid.InvalidArgumentError):
        calls(cancel=5)
    with pytest.raises(SystemExit):
        calls(progress=lambda *_: sys.exit(3))
    calls()  # and all is well afterwards


def test_the_lock_of_the_interpreter_is_given_back(engine, photos):
    """Another thread counts while this one waits inside the library for its turn to report."""
    counted = []

    def count():
        for _ in range(50):
            counted.append(1)
            time.sleep(0)

    thread = threading.Thread(target=count)
    engine.encode(photos * 4, progress=lambda *_: thread.start() if not thread.ident else None)
    thread.join()
    assert len(counted) == 50


def test_threads_share_everything(engine, photos, identity):
    expected = engine.encode(photos[:2]).identity.tokens().numpy()
    conditioning = engine.condition(identity)
    query = np.random.default_rng(3).normal(size=(2, 40, 32)).astype(np.float32)
    wanted = np.zeros_like(query)
    conditioning.inject(1, query, wanted)

    def work(_):
        found = np.zeros_like(query)
        conditioning.inject(1, query, found)
        assert np.array_equal(found, wanted)
        assert np.array_equal(engine.encode(photos[:2]).identity.tokens().numpy(), expected)
        with pytest.raises(omniid.IoError, match="nowhere"):
            engine.encode("nowhere.png")
        with pytest.raises(omniid.InvalidArgumentError, match="layer"):
            conditioning.inject(9, query, found)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(12)))


def test_log_messages_arrive(engine, tmp_path, photos):
    heard = []
    omniid.set_log(lambda *values: heard.append(values), "trace")
    try:
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"nothing")
        engine.encode([photos[0], broken])
    finally:
        omniid.set_log(None)
    assert heard
    count = len(heard)
    engine.encode(photos[0])
    assert len(heard) == count
    for level, target, message in heard:
        assert isinstance(level, omniid.LogLevel) and target and message
    with pytest.raises(omniid.InvalidArgumentError):
        omniid.set_log(print, "loud")


def run_program(model_path, body, **more):
    """A program of its own. Returns its exit status, output and errors."""
    start = f"""
    import atexit, os, signal, sys, threading, time
    sys.path.insert(0, {os.path.dirname(__file__)!r})
    import numpy as np
    import native_model, omniid
    engine = omniid.Engine.open({str(model_path)!r})
    photos = [native_model.picture(seed) for seed in range(3)]
    """
    program = textwrap.dedent(start) + textwrap.dedent(body)
    result = subprocess.run([sys.executable, "-X", "faulthandler", "-c", program], capture_output=True, text=True,
                            timeout=60, **more)  # fmt: skip
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize("daemon", [True, False])
def test_a_program_may_end_during_calls(model_path, daemon):
    """Daemon threads are inside calls, some inside their callbacks, when the program ends."""
    code, out, errors = run_program(model_path, f"""
    started = threading.Barrier(4)
    def encode():
        first = True
        for _ in range(10**6 if {daemon} else 30):
            def report(*_):
                nonlocal first
                if first:
                    first = False
                    started.wait()
                time.sleep(0.001)
            try:
                engine.encode(photos * 3, progress=report)
            except omniid.CancelledError:
                print("cancelled")
                return
    identity = engine.encode(photos[0]).identity
    conditioning = engine.condition(identity)
    query = np.ones((2, 4096, 32), np.float32)
    def inject():
        started.wait()
        while {daemon}:
            conditioning.inject(1, query, np.zeros_like(query))
    for work in (encode, encode, inject):
        threading.Thread(target=work, daemon={daemon}).start()
    started.wait()
    """)  # fmt: skip
    assert (code, errors) == (0, ""), errors
    assert out.count("cancelled") == (2 if daemon else 0)


def test_calls_at_the_end_of_the_program_are_refused(model_path):
    code, out, errors = run_program(model_path, """
    class Last:
        def __del__(self):
            try:
                engine.encode(photos[0])
            except Exception as error:
                print(type(error).__name__)
    omniid.set_log(lambda *_: None, "trace")
    last = Last()
    identity = engine.encode(photos[0]).identity
    """)  # fmt: skip
    assert (code, errors) == (0, ""), errors
    assert out.strip() == "CancelledError"


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_stops_a_call(model_path):
    code, out, errors = run_program(model_path, """
    def send():
        inside.wait()
        time.sleep(pause)
        os.kill(os.getpid(), signal.SIGINT)
    for i in range(40):
        pause = i * 2e-4
        inside = threading.Event()
        threading.Thread(target=send).start()
        try:
            while True:
                engine.encode(photos * 100, progress=lambda *_: inside.set())
        except KeyboardInterrupt:
            print("stopped")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    engine.encode(photos)
    """)  # fmt: skip
    assert (code, out.split(), errors) == (0, ["stopped"] * 40, "")


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_around_a_call_leaves_nothing_behind(model_path):
    """It comes while the call is being counted, in and out: the count must be right, or the program never ends."""
    code, out, errors = run_program(model_path, """
    from omniid import _calls
    class Interrupted(threading.Condition):
        def __init__(self, moment):
            super().__init__()
            self.moments = [moment == i for i in range(4)]
        def interrupt(self):
            if self.moments.pop(0):
                signal.raise_signal(signal.SIGINT)
        def __enter__(self):
            self.interrupt()
            return super().__enter__()
        def __exit__(self, *error):
            super().__exit__(*error)
            self.interrupt()
    for moment in range(4):  # before and after the call is counted in, before and after it is counted out
        _calls._gate.condition = Interrupted(moment)
        try:
            engine.encode(photos)
        except KeyboardInterrupt:
            print("stopped", _calls._gate.running)
        _calls._gate.condition = threading.Condition()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    engine.encode(photos)
    """)  # fmt: skip
    assert (code, out.splitlines(), errors) == (0, ["stopped 0"] * 4, "")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_a_thousand_rounds_do_not_leak(engine, photos):
    """Encoding, saving, conditioning, keys and injection, with errors and exceptions in between."""
    photo = photos[0][:40, :40].copy()
    query = np.ones((2, 8, 16), np.float32)

    def fail(*_):
        raise KeyError

    def round_():
        identity, _ = engine.encode(photo, progress=lambda *_: None)
        omniid.Identity.from_bytes(identity.to_bytes()).tokens().numpy()
        conditioning = engine.condition(ConditioningInput(identity, mask=np.ones((4, 4), np.float32)))
        conditioning.keys(0).__dlpack__(max_version=(1, 0))
        conditioning.inject(0, query, np.zeros_like(query), latent_size=(2, 4), roles=["unconditional", "conditional"])
        for call in (lambda: engine.encode(photo, progress=fail), lambda: engine.encode("nowhere.png"),
                     lambda: conditioning.inject(7, query, query.copy())):  # fmt: skip
            try:
                call()
            except (KeyError, omniid.OmniIdError):
                pass

    def resident():
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for _ in range(300):
        round_()
    objects, before = len(gc.get_objects()), resident()
    for _ in range(1000):
        round_()
    grown = resident() - before
    assert grown < 4 << 20, f"{grown} bytes more after 1,000 rounds"
    assert len(gc.get_objects()) - objects < 500
