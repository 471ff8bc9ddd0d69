"""Every figure of quality, in one place for training, scores and benchmarks.

Pixels, objects, outlines, rankings, probabilities, and how sure a figure is. Those of
tracks and events, which the tracker is tuned by, are in `tracking.metrics`.
"""

from calibration.metrics.boundary import hausdorff, ssim
from calibration.metrics.confidence import (
    calibration_error,
    chance_calibration_error,
    dead_probability,
    fit_temperature,
)
from calibration.metrics.guards import Emptiness, Summary, summarise
from calibration.metrics.instances import (
    AverageIou,
    FrameIou,
    InstanceCounts,
    average_iou,
    count_instances,
    f1_among,
    frame_iou,
)
from calibration.metrics.intervals import (
    Interval,
    beta_interval,
    bootstrap,
    mean_interval,
    wilson,
)
from calibration.metrics.objects import (
    DEAD_SHARE,
    FEWEST_OBJECTS,
    ObjectTable,
    balanced_accuracy,
    false_share,
    instance_f1,
    join_objects,
    missed_share,
    object_f1,
    pics_confusion,
    pics_f1,
    tabulate,
    tabulate_calls,
)
from calibration.metrics.overlaps import Overlaps, find_overlaps, match_objects
from calibration.metrics.pixel import (
    Accuracy,
    PixelFigures,
    accuracy,
    class_figures,
    count_pixels,
    foreground_figures,
    mask_figures,
    mean_over_classes,
)
from calibration.metrics.ranking import AurocTest, auroc, compare_aurocs
from calibration.metrics.significance import (
    TTest,
    compare_means,
    compare_with_bar,
    correct_holm,
)
from calibration.metrics.strata import (
    StratumFigures,
    count_neighbours,
    edge_labels,
    figures_by_stratum,
    gradient_energy,
    low_quantile,
    select_objects,
    touching_labels,
)

__all__ = [
    "DEAD_SHARE",
    "FEWEST_OBJECTS",
    "Accuracy",
    "AurocTest",
    "AverageIou",
    "Emptiness",
    "FrameIou",
    "InstanceCounts",
    "Interval",
    "ObjectTable",
    "Overlaps",
    "PixelFigures",
    "StratumFigures",
    "Summary",
    "TTest",
    "accuracy",
    "auroc",
    "average_iou",
    "balanced_accuracy",
    "beta_interval",
    "bootstrap",
    "calibration_error",
    "chance_calibration_error",
    "class_figures",
    "compare_aurocs",
    "compare_means",
    "compare_with_bar",
    "correct_holm",
    "count_instances",
    "count_neighbours",
    "count_pixels",
    "dead_probability",
    "edge_labels",
    "f1_among",
    "false_share",
    "figures_by_stratum",
    "find_overlaps",
    "fit_temperature",
    "foreground_figures",
    "frame_iou",
    "gradient_energy",
    "hausdorff",
    "instance_f1",
    "join_objects",
    "low_quantile",
    "mask_figures",
    "match_objects",
    "mean_interval",
    "mean_over_classes",
    "missed_share",
    "object_f1",
    "pics_confusion",
    "pics_f1",
    "select_objects",
    "ssim",
    "summarise",
    "tabulate",
    "tabulate_calls",
    "touching_labels",
    "wilson",
]
