"""The compiled parts: optional, because every one of them has a plain Python twin."""

from setuptools import Extension, setup

try:
    from Cython.Build import cythonize
except ImportError:
    EXTENSIONS: list[Extension] = []
else:
    from pathlib import Path

    sources = {
        "schemas._compiled": "schemas/_compiled.pyx",
        "models._compiled": "models/_compiled.pyx",
        "models.classifiers._compiled": "models/classifiers/_compiled.pyx",
        "models.fraud._compiled": "models/fraud/_compiled.pyx",
        "streams.runtime._compiled": "streams/runtime/_compiled.pyx",
        "sinks._compiled": "sinks/_compiled.pyx",
    }
    EXTENSIONS = cythonize(
        [
            # No fused sums: every machine, and the plain twins, must compute the same bits.
            Extension(name, [path], optional=True, extra_compile_args=["-O3", "-ffp-contract=off"])
            for name, path in sources.items()
            if Path(path).exists()
        ],
        compiler_directives={"language_level": "3"},
    )

setup(ext_modules=EXTENSIONS)
