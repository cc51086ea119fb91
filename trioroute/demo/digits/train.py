"""Trains the two models of the example and keeps rows they have not seen, as requests.

Run by the runtime's interpreter, so it imports nothing of trioroute: `train.py OUTPUT_FOLDER`.
The data set ships with scikit-learn; nothing is downloaded.
"""

# ruff: noqa: INP001
# mypy: disable-error-code=import-not-found
import json
import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

#: Makes every run give the same models and rows.
SEED = 7

#: Requests kept: enough that the demo's load does not repeat itself at once.
REQUEST_COUNT = 200


def main(output: Path) -> None:
    """Write models/blue/model.joblib, models/green/model.joblib, requests and the report."""
    digits = load_digits()
    rows, unseen_rows, labels, unseen_labels = train_test_split(
        digits.data, digits.target, test_size=0.3, random_state=SEED
    )
    models = {
        # Pixels are 0 to 16; a weak regularization of plain pixels is good enough here.
        "blue": LogisticRegression(C=0.01, max_iter=2000),
        "green": SVC(C=10, gamma=0.001),
    }
    report = {}
    for name, model in models.items():
        model.fit(rows, labels)
        folder = output / "models" / name
        folder.mkdir(parents=True)
        joblib.dump(model, folder / "model.joblib")
        report[name] = {
            "model": type(model).__name__,
            "accuracy": round(float(model.score(unseen_rows, unseen_labels)), 4),
        }
    cases = [
        {"request": {"data": [row.tolist()]}, "label": int(label)}
        for row, label in zip(unseen_rows[:REQUEST_COUNT], unseen_labels, strict=False)
    ]
    lines = [json.dumps(case) + "\n" for case in cases]
    (output / "requests.jsonl").write_text("".join(lines))
    # One of them by itself, for curl.
    (output / "request.json").write_text(json.dumps(cases[0]["request"]))
    (output / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
