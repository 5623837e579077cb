"""The workloads that `harness bench` measures when no other suite is named.

A workload is a function `bench_NAME` without parameters: it prepares, and returns the function to be timed, or
that and the number of images a call handles. Everything is imported inside, so that what one commit lacks
leaves the others measured. Data are generated: nothing is downloaded.
"""

from __future__ import annotations

from typing import Any


def bench_xdnn_fit() -> Any:
    """xDNN learns 600 images from 512 features each and their products."""
    images, labels = _images(600)
    create = _model("xdnn")
    return lambda: create().fit(images(), labels), 600


def bench_xdnn_predict() -> Any:
    """xDNN decides 300 images by the 600 that it learned."""
    made, labels = _images(900)
    images = made()
    model = _model("xdnn")().fit(images[:600], labels[:600])
    return lambda: model.predict_proba(images[600:]), 300


def bench_svm_fit() -> Any:
    """An SVM learns 300 images from 512 features each and their products."""
    images, labels = _images(300)
    create = _model("svm")
    return lambda: create().fit(images(), labels), 300


def bench_scorer() -> Any:
    """All metrics and intervals of 500 predictions."""
    import numpy as np

    from harness.intervals import intervals
    from harness.metrics import scores

    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 500)
    p = (0.35 + 0.3 * labels + 0.2 * generator.normal(size=500)).clip(0, 1)
    p_NC = np.stack([1 - p, p], axis=1)
    return lambda: (scores(labels, p_NC, positive=1), intervals(labels, p_NC, positive=1)), 500


def bench_decode_and_resize() -> Any:
    """40 PNG slices of 320 x 256 are decoded and brought to 224 px."""
    import io

    import numpy as np
    from PIL import Image

    from harness.data.decoding import decode
    from harness.images import resized_array

    generator = np.random.default_rng(0)
    files = []
    for _ in range(40):
        buffer = io.BytesIO()
        Image.fromarray(generator.integers(0, 64, (256, 320), dtype=np.uint8)).save(buffer, "PNG")
        files.append(buffer.getvalue())
    return lambda: [resized_array(decode(data, "made.png").pixels, 224) for data in files], 40


def bench_network_fit() -> Any:
    """ResNet-18 learns from 32 images of 32 px in batches of 8, and looks at 8 others."""
    from functools import partial

    import numpy as np

    from harness.images import Images, MemoryStore
    from harness.registry import find_model

    noise = np.random.default_rng(0).integers(0, 256, (40, 32, 32), dtype=np.uint8)
    images, labels = Images(MemoryStore(list(noise))), np.arange(40) % 2
    create = partial(find_model("resnet").load(), n_classes=2, variant="18", weights="none")
    sizes = {"size_px": 32, "images_seen": 32, "batch_size": 8, "looks": 1}
    held_out = images[32:], labels[32:]
    return lambda: create(**sizes).fit(images[:32], labels[:32], validation=held_out), 32


def _images(n: int) -> Any:
    """Return what makes images whose features are at hand, and their labels.

    The images keep the products of their features, so that a fit is timed on new ones.
    """
    import numpy as np

    from harness.images import Images, MemoryStore

    generator = np.random.default_rng(20200424)
    labels = generator.integers(0, 2, n)
    x_ND = np.maximum(generator.normal(size=(n, 512)) + 0.2 * labels[:, None], 0).astype(np.float32)
    blank = [np.zeros((8, 8), np.uint8)] * n

    class Embedded(MemoryStore):
        def features(self, *_: Any) -> Any:
            return x_ND

    return lambda: Images(Embedded(blank)), labels


def _model(name: str) -> Any:
    """Return what makes a new model on those features."""
    from functools import partial

    from harness.registry import find_model

    return partial(find_model(name).load(), n_classes=2, backbone="made", size_px=8)
