"""Tensors to and from NumPy, PyTorch and anything that speaks DLPack."""

import gc

import numpy as np
import omniid
import pytest


class Producer:
    """Any other library: nothing but the DLPack protocol, in its old form if asked."""

    def __init__(self, array, legacy=False):
        self.array, self.legacy = array, legacy
        self.asked = []

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **arguments):
        self.asked.append(arguments)
        if self.legacy:
            if arguments:
                raise TypeError("unexpected argument")
            return self.array.__dlpack__()
        return self.array.__dlpack__(**arguments)


def test_tokens_are_shared_read_only_and_outlive_everything(engine, photos):
    identity = engine.encode(photos[0]).identity
    tensor = identity.tokens()
    assert (tensor.shape, tensor.strides, tensor.dtype, tensor.device) == ((6, 24), (24, 1), "float32", (1, 0))
    assert len(tensor) == 6 and "float32" in repr(tensor)
    array, again = tensor.numpy(), np.asarray(tensor)
    assert np.shares_memory(array, again) and not array.flags.writeable
    copy = array.copy()
    identity.close()
    del identity, tensor, again
    gc.collect()
    assert np.array_equal(array, copy)


def test_numpy_takes_them_over_dlpack(identity):
    tensor = identity.tokens()
    if tuple(map(int, np.__version__.split(".")[:2])) < (2, 1):
        pytest.skip("this NumPy asks for DLPack before version 1, which has no read-only tensors")
    array = np.from_dlpack(tensor)
    assert np.shares_memory(array, tensor.numpy()) and not array.flags.writeable
    expected = array.copy()
    del tensor
    gc.collect()
    assert np.array_equal(array, expected)


def test_capsules_that_nobody_consumes_are_freed(identity):
    tensor = identity.tokens()
    for _ in range(1000):
        tensor.__dlpack__(max_version=(1, 0))
    with pytest.raises(BufferError, match="read-only"):
        tensor.__dlpack__()
    with pytest.raises(BufferError, match="device"):
        tensor.__dlpack__(max_version=(1, 0), dl_device=(2, 0))
    with pytest.raises(BufferError, match="copy"):
        tensor.__dlpack__(max_version=(1, 0), copy=True)
    assert tensor.__dlpack_device__() == (1, 0)


def test_tokens_are_copied_into_any_array(identity):
    expected = identity.tokens().numpy()
    for kind in (np.float32, np.float16):
        out = np.zeros((6, 24), kind)
        identity.copy_tokens(out)
        assert np.array_equal(out, expected.astype(kind))
    columns = np.zeros((24, 6), np.float32).T
    identity.copy_tokens(columns)
    assert np.array_equal(columns, expected)
    with pytest.raises(omniid.MismatchError):
        identity.copy_tokens(np.zeros((6, 23), np.float32))


@pytest.mark.parametrize("legacy", [False, True])
def test_other_libraries_lend_their_tensors(engine, identity, legacy):
    conditioning = engine.condition(identity)
    query = np.random.default_rng(1).normal(size=(1, 5, 16)).astype(np.float32)
    expected, found = np.zeros_like(query), np.zeros_like(query)
    conditioning.inject(0, query, expected)
    producer = Producer(found, legacy)
    conditioning.inject(0, Producer(query, legacy), producer)
    assert np.array_equal(found, expected) and np.abs(found).max() > 0.1
    assert producer.asked[0] == {"max_version": (1, 0)}


def test_bad_producers_are_refused(engine, identity):
    conditioning = engine.condition(identity)
    query = np.ones((1, 5, 16), np.float32)

    class Wrong(Producer):
        def __dlpack__(self, **_):
            return 5

    with pytest.raises((omniid.InvalidArgumentError, TypeError)):
        conditioning.inject(0, query, Wrong(query.copy()))
    if tuple(map(int, np.__version__.split(".")[:2])) >= (2, 1):
        locked = query.copy()
        locked.flags.writeable = False
        with pytest.raises(omniid.InvalidArgumentError, match="read-only"):
            conditioning.inject(0, query, Producer(locked))


def test_torch_shares_memory_both_ways(engine, identity):
    torch = pytest.importorskip("torch")
    tensor = identity.tokens()
    shared = torch.from_dlpack(tensor)
    assert shared.data_ptr() == tensor.numpy().__array_interface__["data"][0]
    for kind, limit in ((torch.float32, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
        query = torch.randn(2, 7, 2, 8).to(kind)
        output = torch.zeros(2, 9, 2, 8, dtype=kind)[:, 1:8]
        conditioning = engine.condition(identity, precision={2: "f16", 4: "f32"}[query.element_size()])
        address = output.data_ptr()
        conditioning.inject(0, query, output)
        assert output.data_ptr() == address
        expected = np.zeros(query.shape, np.float32)
        conditioning.inject(0, query.float().numpy(), expected)
        assert np.abs(output.float().numpy() - expected).max() <= limit
    brain = torch.from_dlpack(engine.condition(identity, precision="bf16").keys(0))
    assert brain.dtype == torch.bfloat16
    with pytest.raises(omniid.UnsupportedError):
        conditioning.inject(0, torch.zeros(1, 2, 16, device="meta"), torch.zeros(1, 2, 16))
    with pytest.raises(omniid.UnsupportedError):
        conditioning.inject(0, torch.zeros(1, 2, 16).to_sparse(), torch.zeros(1, 2, 16))
    image = torch.from_numpy(np.zeros((60, 60, 3), np.uint8))
    assert engine.encode(image).identity.info.photos == 1
