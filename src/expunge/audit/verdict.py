"""The verdict of an audit, for a privacy officer to read, and as JSON and a figure. Theory §7."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from expunge.audit import ExactAudit, Reconstruction, TradeOff
from expunge.audit.figures import COLOURS, new_figure
from expunge.privacy.guarantee import epsilon_of


@dataclass(frozen=True)
class Verdict:
    """What an audit by retraining and one of the last release from the outside found.

    Args:
        exact: by retraining, release by release.
        black_box: the last release against a model that never learned the forgotten rows.
        delta: at which ε is stated.
        reconstruction: what two neighbouring releases tell of one person; ``None`` where it was not tried.
    """

    exact: ExactAudit
    black_box: TradeOff
    delta: float
    reconstruction: Reconstruction | None = None

    @property
    def certified_mu(self) -> float:
        """μ certified for the last release."""
        return self.exact.releases[-1].certified_mu

    @property
    def is_honest(self) -> bool:
        """Whether nothing was found that contradicts the certificates."""
        return self.exact.is_honest and not self.black_box.exceeds(self.certified_mu)

    def __str__(self) -> str:
        releases, found = self.exact.releases, self.black_box
        broken = [i for i, release in enumerate(releases, 1) if not release.is_honest]
        certified = epsilon_of(self.certified_mu, self.delta)
        closest = max(release.true_distance / release.certified_distance for release in releases)
        if self.is_honest:
            headline = "Verdict: nothing was found that contradicts the certificates."
        else:
            headline = "Verdict: A CERTIFICATE IS WRONG. Do not publish; report this as a bug."
        if broken:
            retraining = f"request {broken[0]} is farther from the retrained model than certified."
        else:
            retraining = f"each model is as near to the retrained one as certified (the closest came to {closest:.0%} of that)."
        lines = [
            headline,
            "",
            f"By retraining without the forgotten people, after each of {len(releases)} requests: {retraining}",
            f"From the outside, with {found.n_draws:,} held-out models that forgot and as many that never learned: the best "
            f"test told them apart by epsilon = {found.epsilon_lower_bound(self.delta):.3g} at least, with "
            f"{found.confidence:.0%} confidence; certified is {certified:.3g} at most.",
            "",
            *([] if self.reconstruction is None else [str(self.reconstruction), ""]),
            "What this does not show: an audit finds faults, it cannot prove that there are none; the proof is the "
            "certificate's. It says nothing of releases from before the deletion, nor of what was fitted on the data before "
            "the model.",
        ]
        return "\n".join(lines)

    def to_json(self) -> str:
        """All numbers as JSON; infinite ones are the string ``"inf"``."""
        found = self.black_box
        black_box: dict[str, Any] = {name: value for name, value in vars(found).items() if name != "curve"}
        black_box |= {
            "mu_lower_bound": found.mu_lower_bound,
            "epsilon_lower_bound": found.epsilon_lower_bound(self.delta),
            "certified_mu": self.certified_mu,
            "certified_epsilon": epsilon_of(self.certified_mu, self.delta),
            "delta": self.delta,
            "band": found.band,
            "curve": found.curve.tolist(),
        }
        releases = [asdict(release) | {"is_honest": release.is_honest} for release in self.exact.releases]
        told: dict[str, Any] = {"is_honest": self.is_honest, "releases": releases, "black_box": black_box}
        if self.reconstruction is not None:
            told["reconstruction"] = asdict(self.reconstruction)
        return json.dumps(_plain(told), indent=2)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Writes ``audit.json`` and ``audit.svg`` into ``folder``, and returns their paths.

        Args:
            folder: that takes ``audit.json`` and ``audit.svg``; it is made if need be.

        Raises:
            ImportError: matplotlib is not installed.
            OSError: ``folder`` cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        figure, axis = new_figure(size=(5.2, 4.6))
        alpha = np.linspace(0.0, 1.0, 401)
        axis.plot(
            alpha, norm.cdf(norm.isf(alpha) - self.certified_mu), color=COLOURS["ours"], label="certified: no test is below"
        )
        found, sure = self.black_box, f"{self.black_box.confidence:.0%}"
        lower, upper = np.clip(found.curve - found.band, 0.0, 1.0), np.clip(found.curve + found.band, 0.0, 1.0)
        around = np.concatenate([upper, lower[::-1]])
        axis.fill(
            *around.T, color=COLOURS["dp"], alpha=0.15, linewidth=0, label=f"its errors lie in here, with {sure} confidence"
        )
        axis.plot(*found.curve.T, ".", color=COLOURS["dp"], markersize=4, label="measured: the best test found")
        bound = found.false_positives_bound, found.false_negatives_bound
        axis.plot(*bound, "x", color=COLOURS["dp"], label=f"what is judged: no larger errors, with {sure} confidence")
        axis.plot(alpha, 1.0 - alpha, ":", color=COLOURS["exact"], label="guessing")
        axis.set(xlabel="type I error", ylabel="type II error", xlim=(0, 1), ylim=(0, 1))
        axis.legend(frameon=False, fontsize=8)
        paths = folder / "audit.json", folder / "audit.svg"
        figure.savefig(paths[1], metadata={"Date": None, "Creator": None})
        paths[0].write_text(self.to_json() + "\n", encoding="utf-8")
        return paths


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return "inf" if isinstance(value, float) and math.isinf(value) else value
