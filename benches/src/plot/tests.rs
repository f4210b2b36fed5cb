//! Tests of `plot`.

use super::*;

#[test]
fn numbers_on_axes_are_short() {
    let texts = [0.0, 0.001, 0.25, 42.0, 9999.0, 20_000.0, 1.5e6, 2e9].map(number);
    assert_eq!(
        texts,
        ["0", "0.001", "0.25", "42", "9999", "20k", "1.5M", "2G"]
    );
}

/// Heights of a curve's points in a drawn plot, from the top.
fn heights(svg: &str, points: usize) -> Vec<i32> {
    let curves = svg.lines().filter_map(|line| {
        let (_, points) = line.split_once("<polyline")?.1.split_once("points=\"")?;
        Some(points.split_once('"')?.0.split_whitespace())
    });
    let heights = |curve: std::str::SplitWhitespace<'_>| -> Vec<i32> {
        let pairs = curve.map(|pair| pair.split_once(',').unwrap());
        pairs.map(|(_, y)| y.parse().unwrap()).collect()
    };
    let mut curves = curves.map(heights);
    curves.find(|curve| curve.len() == points).unwrap()
}

#[test]
fn a_tail_ends_at_its_last_sample() {
    let histogram = [(100, 101, 99_000), (200, 201, 990), (9000, 9100, 10)];
    let plot = Plot {
        title: "tail".to_owned(),
        x: "cycles".to_owned(),
        y: "%".to_owned(),
        log_x: true,
        log_y: true,
        marks: false,
        curves: vec![Curve {
            name: "tocsin".to_owned(),
            points: tail(&histogram),
        }],
    };
    assert!(plot.range(|point| point.1, true).0 < 0.01);
    let svg = plot.draw().unwrap();
    let heights = heights(&svg, 6);
    // 100 %, 1 % and 0.01 %: equidistant on a logarithmic axis.
    let steps = [heights[2] - heights[0], heights[4] - heights[2]];
    assert!(steps[0] > 50 && (steps[0] - steps[1]).abs() <= 2, "{svg}");
    for tick in ["100", "10", "1", "0.1", "0.01"] {
        assert!(svg.contains(&format!("\n{tick}\n")), "{tick} in {svg}");
    }
}

#[test]
fn the_kernels_own_curve_is_drawn_last() {
    let curve = |name: &str| Curve {
        name: name.to_owned(),
        points: vec![(1.0, 20.0), (2.0, 20.0)],
    };
    let plot = Plot {
        title: String::new(),
        x: String::new(),
        y: String::new(),
        log_x: false,
        log_y: false,
        marks: true,
        curves: ["tocsin", "floor", "typical"].map(curve).to_vec(),
    };
    let svg = plot.draw().unwrap();
    let last = |colour: &str| svg.rfind(colour).unwrap();
    assert!(last("#0C0C0C") < last("#0D0D0D") && last("#0D0D0D") < last("#0B0B0B"));
    // Names stay in their order.
    assert!(svg.find("tocsin") < svg.find("floor"));
}

#[test]
fn ticks_are_at_powers_of_ten_from_two_decades_on() {
    let bases = [(1.0, 99.0), (1.0, 100.0), (2000.0, 500_000.0)].map(base);
    assert_eq!(bases.map(crate::table::short), ["2", "10", "10"]);
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
