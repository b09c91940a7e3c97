"""Hydra's plugins, installed where they are asked for: what to type where one, or what it needs, is missing."""

_EXTRAS = {"hydra_optuna_sweeper": "sweep", "hydra_ray_launcher": "ray", "hydra_submitit_launcher": "slurm"}
_UNKNOWN = "Unknown plugin class"
_HINTS = {  # by what the error says
    'Could not detect "srun"': (
        "hydra/launcher=submitit_slurm needs SLURM, and srun is not found here. Type it on a machine where jobs are "
        "submitted, or try it here with hydra/launcher=submitit_local."
    ),
    "running Ray instance": (
        "There is no Ray cluster here to join. Start one with ray start --head, or leave "
        "hydra.launcher.ray.init.address out: then the sweep starts a Ray on this machine."
    ),
}


def missing(error: Exception) -> str | None:
    """Say what an error of Hydra or of a plugin means, and what to type; None where it is another one."""
    text = str(error)
    if not text.startswith(_UNKNOWN):
        return next((hint for sign, hint in _HINTS.items() if sign in text), None)
    name = text.partition("'")[2].rstrip("'")
    for package, extra in _EXTRAS.items():
        if name.startswith(f"hydra_plugins.{package}."):
            return f"{name} is not installed. Type: pip install -e '.[{extra}]'"
    return f"{name} is no launcher or sweeper of Hydra's. Use hydra/launcher=processes and hydra/sweeper=basic."
