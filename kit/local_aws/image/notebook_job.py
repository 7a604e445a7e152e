"""What the image of a SageMaker notebook job does: it runs one notebook with papermill and leaves the executed copy.

The contract is that of `sagemaker.mlops.workflow.notebook_job_step`: SM_EXECUTION_INPUT_PATH, SM_INPUT_NOTEBOOK_NAME,
SM_OUTPUT_NOTEBOOK_NAME, SM_KERNEL_NAME and SM_INIT_SCRIPT; the notebook's parameters are the job's hyperparameters.
Run as `python notebook_job.py ML` with the folder that stands for /opt/ml.
"""

# ruff: noqa: T201 - what a container prints is its log

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any


def parameters(file: Path, notebook: Path) -> dict[str, Any]:
    """The hyperparameters, each of the type that the notebook's own default has."""
    import nbformat

    given = json.loads(file.read_text()) if file.is_file() else {}
    document = nbformat.read(notebook, as_version=4)
    source = "\n".join(
        cell.source for cell in document.cells if "parameters" in cell.metadata.get("tags", [])
    )
    defaults: dict[str, Any] = {}
    exec(compile(source, str(notebook), "exec"), defaults)
    return {name: typed(value, defaults.get(name)) for name, value in given.items()}


def typed(text: str, default: Any) -> Any:
    """A hyperparameter as what its default is; hyperparameters are text."""
    if isinstance(default, str) or default is None:
        return text
    try:
        return json.loads(text.lower() if isinstance(default, bool) else text)
    except ValueError:
        return text


def main() -> int:
    """Run the notebook; 1 if a cell failed, with the reason where SageMaker looks for it."""
    ml = Path(sys.argv[1])
    folder = Path(os.environ["SM_EXECUTION_INPUT_PATH"])
    notebook = folder / os.environ["SM_INPUT_NOTEBOOK_NAME"]
    output = ml / "output/data" / os.environ["SM_OUTPUT_NOTEBOOK_NAME"]
    if script := os.environ.pop("SM_INIT_SCRIPT", ""):
        command = f". {shlex.quote(str(folder / script))} && exec {shlex.join([sys.executable, *sys.argv])}"
        os.execv("/bin/sh", ["/bin/sh", "-c", command])
    import papermill

    try:
        papermill.execute_notebook(
            str(notebook),
            str(output),
            parameters=parameters(ml / "input/config/hyperparameters.json", notebook),
            kernel_name=os.environ.get("SM_KERNEL_NAME") or None,
            cwd=str(folder),
            progress_bar=False,
            log_output=True,
        )
    except Exception as error:
        print(error, file=sys.stderr)
        (ml / "output/failure").write_text(str(error)[-1024:])
        return 1
    print(f"{notebook.name} ran; its copy is {output.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
