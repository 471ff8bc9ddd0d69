"""The command line. Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from acquisition.errors import BadInput, VigilError
from app.bench_commands import add_bench_log_and_display
from app.forecast_commands import add_bench_forecast
from app.model_commands import Answer, add_model_commands
from app.report_commands import add_report
from app.tables import rows_text, table_text
from app.track_commands import add_track_commands
from app.tracking_bench import add_bench_tracking

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

WRONG_PLACE = (
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    FileExistsError,
    PermissionError,
)
"""What the system says of a path that a person gave; of others, such as a full disk,
the person may know nothing."""

Command = Callable[[argparse.Namespace], tuple[int, dict[str, Any]]]
"""A command gives its exit code and the object that --json prints."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors come as one clear message on stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    options = build_parser().parse_args(arguments)
    command: Command = options.command
    try:
        code, result = command(options)
    except BadInput as error:
        print(f"vigil: {error}", file=sys.stderr)
        return BAD_INPUT
    except VigilError as error:
        print(f"vigil: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("vigil: interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        if error.filename is None:
            raise
        print(
            f"vigil: {error.filename}: {error.strerror or error}; check the path, "
            "the permissions and the disk",
            file=sys.stderr,
        )
        return BAD_INPUT if isinstance(error, WRONG_PLACE) else FAILED
    if options.json:
        print(json.dumps(result))
    return code


def build_parser() -> argparse.ArgumentParser:
    """Give the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="vigil", description="A real-time companion for live-cell microscopes."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_simulate(commands)
    _add_score(commands)
    _add_bench(commands)
    add_model_commands(commands, _new_answering)
    add_report(commands, _new_answering)
    add_track_commands(commands, _new_answering)
    _add_check(commands)
    _add_repair(commands)
    return parser


def _new(commands: Any, name: str, text: str, command: Command) -> Any:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the result as one JSON object on the last line of stdout",
    )
    parser.set_defaults(command=command)
    return parser


def _new_answering(
    commands: Any, name: str, text: str, answer: Callable[[argparse.Namespace], Answer]
) -> Any:
    def command(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
        given = answer(options)
        print(given.text)
        return given.code, given.result

    return _new(commands, name, text, command)


def _add_run(commands: Any) -> None:
    run = _new(commands, "run", "acquire, analyse, show and record", _run)
    run.add_argument("config", help="experiment file, or a preset such as demo")
    run.add_argument("--headless", action="store_true", help="no window")
    run.add_argument("--duration", type=float, metavar="S", help="wall seconds")
    run.add_argument("--seed", type=int, metavar="N", help="of a simulated run")
    run.add_argument("--world", metavar="FILE", help="world of a simulated run")
    run.add_argument("--images", metavar="PATH", help="image sequence to replay")
    run.add_argument("--output", metavar="DIR", help="new run directory")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one setting, for example stand.ring_amplitude=0.5",
    )


def _add_simulate(commands: Any) -> None:
    simulate = _new(
        commands, "simulate", "audit a simulated world, or make images of it", _simulate
    )
    simulate.add_argument("world", help="name of a shipped world, or a world file")
    simulate.add_argument("--output", type=Path, metavar="DIR", help="new folder")
    simulate.add_argument("--frames", type=int, default=1, metavar="N")
    simulate.add_argument(
        "--interval",
        type=float,
        metavar="S",
        help="experiment seconds between frames; absent: that of the world",
    )
    simulate.add_argument("--seed", type=int, default=1, metavar="N")
    simulate.add_argument(
        "--size",
        type=int,
        default=1024,
        metavar="PX",
        help="edge of the images of a data set; an audit chooses its own fields",
    )
    simulate.add_argument(
        "--modality", choices=("slim", "phase_contrast", "brightfield")
    )
    simulate.add_argument(
        "--preview", type=Path, metavar="PNG", help="contact sheet of the images"
    )
    simulate.add_argument(
        "--oracle", action="store_true", help="add the best possible forecasts"
    )
    simulate.add_argument(
        "--audit", action="store_true", help="neither trivial nor hopeless?"
    )
    simulate.add_argument(
        "--quick", action="store_true", help="audit in seconds, without the network"
    )
    simulate.add_argument(
        "--controls",
        action="store_true",
        help="audit the product too: an empty dish, a specimen that stands still",
    )


def _add_score(commands: Any) -> None:
    score = _new(commands, "score", "score a run against the truth", _score)
    score.add_argument("run", type=Path, help="run directory")
    score.add_argument(
        "--truth",
        type=Path,
        metavar="LABELS",
        help="label stack (page = frame) or folder of label images",
    )
    score.add_argument(
        "--tracked",
        action="store_true",
        help="with --truth: equal labels are the same cell through time; also a folder "
        "of the Cell Tracking Challenge",
    )
    score.add_argument(
        "--oracle",
        action="store_true",
        help="also what the best forecast of deaths would reach (minutes of work)",
    )


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser("bench", help="measure speed, as JSON")
    benches = bench.add_subparsers(required=True, metavar="WHAT")
    live = _new(benches, "live", "the whole loop on the simulated stand", _bench_live)
    live.add_argument("--size", type=int, default=1024, metavar="N")
    live.add_argument("--fps", type=float, default=5.0, metavar="F")
    live.add_argument("--seconds", type=float, default=30.0, metavar="S")
    live.add_argument("--source", choices=("live", "bank"), default="live")
    live.add_argument("--seed", type=int, default=1, metavar="N")
    simulate = _new(
        benches, "simulate", "the simulated microscope alone", _bench_simulate
    )
    simulate.add_argument(
        "--size", type=int, metavar="N", help="edge of the frames; absent: 1024, 2048"
    )
    simulate.add_argument("--repeat", type=int, default=20, metavar="N")
    simulate.add_argument("--seed", type=int, default=1, metavar="N")
    _add_bench_inference(benches)
    add_bench_forecast(benches, _new_answering)
    add_bench_tracking(benches, _new_answering)
    add_bench_log_and_display(benches, _new_answering)


def _add_bench_inference(benches: Any) -> None:
    inference = _new(
        benches, "inference", "every engine, from frame to cells", _bench_inference
    )
    inference.add_argument(
        "--size", type=int, metavar="N", help="edge of the frames; absent: 1024, 512"
    )
    inference.add_argument(
        "--network",
        choices=("stem_unet", "eunet_b0"),
        help="absent: both",
    )
    inference.add_argument(
        "--engine",
        default="auto",
        choices=("auto", "tensorrt", "torch-cuda", "openvino", "torch"),
        help="only these; ratios need torch among them",
    )
    inference.add_argument("--threads", type=int, default=1, metavar="N")
    inference.add_argument("--repeat", type=int, default=15, metavar="N")
    inference.add_argument("--quick", action="store_true", help="few repeats")
    inference.add_argument(
        "--busy", action="store_true", help="keep one core busy meanwhile"
    )


def _add_check(commands: Any) -> None:
    check = _new(commands, "check", "is this PC ready for a run?", _check)
    check.add_argument("--output", type=Path, default=Path("runs"), metavar="DIR")


def _add_repair(commands: Any) -> None:
    repair = _new(commands, "repair", "make a run that was cut off readable", _repair)
    repair.add_argument("run", type=Path, help="run directory")


def _run(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    from configs import load_experiment

    experiment = load_experiment(
        options.config,
        options.set,
        {
            "run.duration_s": options.duration,
            "run.seed": options.seed,
            "simulated.world": options.world,
            "sequence.images": options.images,
        },
    )
    from app.live import run_live  # slow to load: not before the settings are right

    output = Path(options.output) if options.output else None
    result = run_live(experiment, output, headless=options.headless)
    codes = {"ended": DONE, "interrupted": INTERRUPTED}
    return codes.get(result["state"], FAILED), result


def _simulate(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    from app.simulate import Wishes, simulate

    result = simulate(
        options.world,
        Wishes(
            seed=options.seed,
            modality=options.modality,
            frames=options.frames,
            interval_s=options.interval,
            size_px=options.size,
            output=options.output,
            preview=options.preview,
            oracle=options.oracle,
            audit=options.audit,
            quick=options.quick,
            controls=options.controls,
        ),
    )
    faults = result.get("faults", [])
    shown = {key: value for key, value in result.items() if key != "faults"}
    print(table_text(shown))
    for fault in faults:
        print(f"FAULT {fault}")
    if result.get("state") == "interrupted":
        return INTERRUPTED, result
    return (FAILED if faults else DONE), result


def _score(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    from calibration.score import score_run

    result: dict[str, Any]
    if options.truth is None:
        result = dict(score_run(options.run, oracle=options.oracle))
    else:
        result = _score_labels(options.run, options.truth, options.tracked)
    print(table_text(result))
    return DONE, result


def _score_labels(run: Path, truth: Path, tracked: bool) -> dict[str, Any]:
    from calibration.score import KEYS, score_masks
    from calibration.score_names import score_names

    if not tracked:
        return dict(score_masks(run, truth))
    masks = dict(score_masks(run, truth)) if truth.is_file() else dict.fromkeys(KEYS)
    return masks | score_names(run, truth)


def _bench_live(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    from app.bench import bench_live

    result = bench_live(
        options.size, options.fps, options.seconds, options.source, options.seed
    )
    print(table_text(result))
    return DONE, result


def _bench_simulate(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    from calibration.benchmarks.simulate import bench_simulate

    result = bench_simulate(options.size, options.repeat, options.seed)
    print(rows_text(result["rows"]))
    return DONE, result


def _bench_inference(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    from calibration.benchmarks.inference import SHOWN, Wishes, bench_inference

    chosen: dict[str, Any] = {}
    if options.size:
        chosen["sizes"] = (options.size,)
    if options.network:
        chosen["networks"] = (options.network,)
    wishes = Wishes(
        engine=options.engine,
        threads=options.threads,
        repeat=options.repeat,
        quick=options.quick,
        busy=options.busy,
        **chosen,
    )
    result = bench_inference(wishes)
    print(rows_text([{key: row[key] for key in SHOWN} for row in result["rows"]]))
    print(*result["left_out"], sep="\n")
    return DONE, result


def _check(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    from app.check import check_machine

    findings = check_machine(options.output)
    signs = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}
    for finding in findings:
        print(f"{signs[finding.level]} {finding.topic}: {finding.text}")
    faults = sum(finding.level == "fault" for finding in findings)
    ready = "ready" if faults == 0 else f"not ready: {faults} fault(s)"
    print(f"vigil is {ready}")
    result = {
        "ready": faults == 0,
        "findings": [
            {"topic": f.topic, "level": f.level, "text": f.text} for f in findings
        ],
    }
    return (DONE if faults == 0 else FAILED), result


def _repair(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    from acquisition.archive.repair import repair

    report = repair(options.run)
    result = {
        "frames": report.frames,
        "lost_frames": report.lost_frames,
        "state": report.state,
        "damaged": list(report.damaged),
    }
    print(table_text(result))
    for name in report.damaged:
        print(f"{options.run / name} is damaged beyond repair; take it from a copy")
    return (FAILED if report.damaged else DONE), result


if __name__ == "__main__":
    sys.exit(main())
