//! Tests of `plot`.

use super::*;

#[test]
fn numbers_on_axes_are_short() {
    let texts = [0.0, 0.25, 42.0, 9999.0, 20_000.0, 1.5e6, 2e9].map(number);
    assert_eq!(texts, ["0", "0.25", "42", "9999", "20k", "1.5M", "2G"]);
}

#[test]
fn distributions_add_up() {
    let histogram = [(10, 11, 5), (12, 13, 3), (100, 103, 2)];
    let points = distribution(&histogram, (10, 103));
    // Each step has two ends.
    let sum: f64 = points.iter().step_by(2).map(|point| point.1).sum();
    assert!((sum - 100.0).abs() < 1e-6, "{sum}");
    let points = cumulative(&histogram);
    assert!(points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
    assert_eq!(points.last(), Some(&(103.0, 100.0)));
    assert_eq!(points[1], (11.0, 50.0));
    let points = tail(&histogram);
    assert_eq!(points[..3], [(10.0, 100.0), (11.0, 100.0), (12.0, 50.0)]);
    assert_eq!(points.last(), Some(&(103.0, 20.0)));
}

#[test]
fn every_colour_is_in_the_style_sheet() {
    let page = include_str!("../../templates/report.html");
    for RGBColor(red, green, blue) in CURVES.into_iter().chain([INK, GRID]) {
        let colour = format!("[stroke=\"#{red:02X}{green:02X}{blue:02X}\"]");
        assert!(page.contains(&colour), "{colour}");
    }
}

#[test]
fn a_plot_has_titles_axes_and_curves() {
    let plot = Plot {
        title: "latency".to_owned(),
        x: "L, cycles".to_owned(),
        y: "worst, cycles".to_owned(),
        log_x: true,
        log_y: true,
        marks: true,
        curves: vec![Curve {
            name: "ceiling".to_owned(),
            points: vec![(0.0, 20.0), (1000.0, 20.0)],
        }],
    };
    for (log_x, log_y) in [(false, false), (true, false), (false, true), (true, true)] {
        let svg = Plot {
            log_x,
            log_y,
            ..plot.clone()
        }
        .draw()
        .unwrap();
        for text in [
            "latency",
            "L, cycles",
            "worst, cycles",
            "ceiling",
            "#0B0B0B",
        ] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
    }
}
