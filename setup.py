"""Packaging of SLED; tool settings live in pyproject.toml."""

import hashlib
from pathlib import Path

from setuptools import Extension, find_packages, setup

EXTRAS = {
    # Judges: words heard by Whisper, error rates.
    "eval": ["faster-whisper>=1.1", "jiwer>=3.0"],
    # Further recognisers as judges, of Mandarin and of other makers.
    "mandarin": ["funasr>=1.2"],
    "nemo": ["nemo_toolkit[asr]>=2"],
    # How alike two recordings' voices are; its own extra, for it pins an old setuptools.
    "speaker": ["resemblyzer>=0.1.4", "setuptools<81"],  # its webrtcvad imports pkg_resources
    "ecapa": ["speechbrain>=1"],
    # Recordings in m4a, webm, mp4 and more.
    "media": ["av>=12"],
    # Low-rank adapters.
    "finetune": ["peft>=0.17"],
    # Speech through the loudspeaker.
    "play": ["sounddevice>=0.4"],
    # More teacher voices for the recipes.
    "kokoro": ["kokoro-onnx>=0.5"],
    "piper": ["piper-tts>=1.3"],
    # How natural speech sounds, as DNSMOS judges it.
    "quality": ["speechmos", "librosa", "onnxruntime"],  # it does not say that it needs them
    # int8 on a CPU without compiled kernels.
    "fast": ["onnx>=1.16", "onnxruntime>=1.22"],
    # Corpora of speech tokens: ONNX files of tokenizers and speaker encoders, Parquet, pitch.
    "tokens": ["onnx>=1.16", "onnxruntime>=1.22", "pyarrow>=17", "librosa>=0.10"],
    # Their extraction on several machines.
    "ray": ["ray[data]>=2.40"],
    # The server.
    "serve": [
        "fastapi>=0.160",
        "uvicorn[standard]>=0.50",
        "pydantic-settings>=2.10",
        "prometheus-client>=0.20",
        "av>=15",  # FFmpeg's encoders
        "limits>=5",
        "python-multipart>=0.0.20",
    ],
    # Home Assistant's protocol for the server, and its announcement in the local network.
    "wyoming": ["wyoming>=1.7", "zeroconf>=0.140"],
    # `sled serve` as a voice of agent frameworks.
    "pipecat": ["pipecat-ai>=1.14,<2", "websockets>=15"],
    "livekit": ["livekit-agents>=1.8,<2"],
    # Pitch, for training spectral codecs.
    "codec": ["praat-parselmouth>=0.4.5"],
    "dev": [
        "pytest>=8",
        "pytest-cov>=5",
        "pytest-xdist>=3.6",
        "hypothesis>=6.100",
        "schemathesis>=4.30",
        "jiwer>=3.0",
        "peft>=0.17",
        "praat-parselmouth>=0.4.5",
        "psutil",
        "onnx>=1.16",
        "onnxruntime>=1.22",
        "pyarrow>=17",
        "librosa>=0.10",
        "ruff>=0.8",
        "mypy>=1.13",
        "pre-commit>=4",
        # The server, and clients of it.
        "fastapi>=0.160",
        "uvicorn[standard]>=0.50",
        "pydantic-settings>=2.10",
        "prometheus-client>=0.20",
        "av>=15",
        "limits>=5",
        "python-multipart>=0.0.20",
        "openai>=2",
        "httpx>=0.27",
        "websockets>=15",
        "wyoming>=1.7",
        "zeroconf>=0.140",
        "elevenlabs>=2",
        "trustme>=1.2",  # a certificate for it
        "playwright>=1.50",  # drives the system's Chromium
    ],
}

KERNELS = Path("sled/fast/native/kernels")
# Kernels of other sources are not used (sled/fast/native/library.py).
SOURCES = b"".join(path.read_bytes() for path in sorted(KERNELS.glob("*.[ch]")))
DIGEST = hashlib.sha256(SOURCES).hexdigest()

setup(
    name="sled",
    version="0.1.0",
    description="Streaming text-to-speech in a continuous latent space",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["sled", "sled.*"]),
    package_data={
        "sled": ["py.typed", "bundled/**/*", "normalization/*.txt", "serving/page/static/*"]
        + ["evaluation/*.yaml", "evaluation/protocols/*", "evaluation/page/static/*"]
    },
    install_requires=[
        "torch>=2.6,<2.14",
        "transformers>=5.0,<6",
        "tokenizers>=0.21",
        "safetensors>=0.4.3",
        "huggingface-hub",
        "typing-extensions>=4.5",
        "accelerate>=1.1",
        "lhotse>=1.30",
        "urllib3",  # lhotse imports it without declaring it
        "scipy",  # likewise, for resampling
        "tensorboard",
        "soundfile>=0.12",
        "soxr>=0.5",
        "numpy>=1.26",
        "num2words>=0.5.13",  # numbers in words
        # Words in phonemes, on which models are trained, and the teacher of the small recipes.
        "hibari-tts>=0.2.1,<0.3",
        "filelock>=3.12",
        "tqdm",
        "pyyaml",  # configurations of published trainers
        "argcomplete>=3.2",  # completion of the command line
    ],
    extras_require=EXTRAS,
    ext_modules=[
        # Without a compiler, or on other CPUs, models run in other forms.
        Extension(
            "sled.fast.native._kernels",
            sources=[str(KERNELS / f"{name}.c") for name in ("level", "avx2", "avx512", "amx")],
            depends=[str(path) for path in sorted(KERNELS.glob("*.h"))],
            define_macros=[("SLED_SOURCES", f'"{DIGEST}"')],
            extra_compile_args=["-O3", "-Wno-psabi", "-pthread"],
            extra_link_args=["-pthread"],
            optional=True,
        )
    ],
    entry_points={"console_scripts": ["sled=sled.cli.main:run_process"]},
)
