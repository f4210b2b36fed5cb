//! Tests of `report`.

use scraper::{Html, Selector};

use super::*;
use crate::fixtures;
use crate::listing::{Line, Listing, Stage};

fn with_peers() -> Results {
    Results {
        peers: fixtures::peers(),
        ..fixtures::results()
    }
}

#[test]
fn listings_are_shown_with_every_instruction() {
    let mut results = fixtures::results();
    let line = |cpu, address, text: &str| Line {
        cpu,
        address,
        text: text.to_owned(),
        function: "entry<stub>".to_owned(),
    };
    results.listings = vec![Listing {
        key: results.metrics[0].key.clone(),
        instructions: 2,
        overhead: 1,
        stages: vec![Stage {
            cpu: 3,
            function: "entry<stub>".to_owned(),
            instructions: 2,
        }],
        lines: vec![
            line(3, 0xabc, "pushq %rsi"),
            line(3, 0xabd, "movl $0xd0, %esi"),
        ],
    }];
    let page = Html::parse_document(&of(&results).unwrap());
    assert_eq!(page.errors, Vec::<String>::new());
    let shown: String = page
        .select(&select("details.listing pre"))
        .next()
        .unwrap()
        .text()
        .collect();
    let lines: Vec<_> = shown
        .trim()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "cpu3 0xabc pushq %rsi entry<stub>",
            "cpu3 0xabd movl $0xd0, %esi entry<stub>"
        ]
    );
    let stage = page
        .select(&select("table.stages tbody tr"))
        .next()
        .unwrap();
    assert_eq!(stage.text().collect::<String>(), "3entry<stub>2");
}

fn select(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

#[test]
fn every_metric_is_in_the_page_with_its_numbers() {
    let results = with_peers();
    let page = Html::parse_document(&of(&results).unwrap());
    assert_eq!(page.errors, Vec::<String>::new());
    let rows: Vec<_> = page.select(&select("table.metrics tbody tr")).collect();
    assert_eq!(rows.len(), results.metrics.len());
    let cell = select("td");
    for metric in &results.metrics {
        let id = id(&metric.key);
        let row: Vec<_> = rows
            .iter()
            .filter(|row| row.attr("id") == Some(&id))
            .collect();
        assert_eq!(row.len(), 1, "{id}");
        let cells: Vec<String> = row[0]
            .select(&cell)
            .map(|cell| cell.text().collect())
            .collect();
        let values = metric
            .supported()
            .map(|value| value.map_or_else(|| NO_VALUE.to_owned(), |value| value.to_string()));
        let shown = cells[4..10].iter().map(|cell| cell.replace('\u{202f}', ""));
        assert_eq!(shown.collect::<Vec<_>>(), values, "{id}");
        assert_eq!(cells[1], metric.key.variant);
        assert_eq!(cells[3], unit(&metric.unit), "{id}");
    }
}

#[test]
fn other_kernels_are_beside_ours() {
    let results = with_peers();
    let page = Html::parse_document(&of(&results).unwrap());
    let head = page
        .select(&select("#cycles ~ .scroll table.metrics"))
        .next()
        .unwrap();
    let names: Vec<String> = head
        .select(&select("th"))
        .map(|cell| cell.text().collect())
        .collect();
    let at = |name: &str| names.iter().position(|known| known == name).unwrap();
    let key = results.peers[0].metrics[0]
        .ours(&results)
        .unwrap()
        .key
        .clone();
    let id = id(&key);
    let row = page
        .select(&select("tr"))
        .find(|row| row.attr("id") == Some(&id))
        .unwrap();
    let cells: Vec<String> = row
        .select(&select("td"))
        .map(|cell| cell.text().collect())
        .collect();
    let ratio = |base: f64| {
        format!(
            "{:.2}",
            results.peers[0].metrics[0]
                .ours(&results)
                .map_or(0.0, |ours| float(ours.summary.p50))
                / base
        )
    };
    assert_eq!(
        cells[at("kvm-unit-tests")],
        format!("8000 (x{})", ratio(8000.0))
    );
    assert_eq!(cells[at("Linux")], format!("9000 (x{})", ratio(9000.0)));
    assert!(!names.contains(&"Absent".to_owned()), "{names:?}");
}

#[test]
fn the_page_needs_no_other_file() {
    let text = of(&with_peers()).unwrap();
    let page = Html::parse_document(&text);
    for element in ["script", "link", "img", "iframe"] {
        assert_eq!(page.select(&select(element)).count(), 0, "{element}");
    }
    assert!(!text.contains("url(") && !text.contains("@import"));
    // Text from the host is escaped.
    assert!(text.contains("A &#60;fast&#62; &#38;") || text.contains("A &lt;fast&gt; &amp;"));
}

#[test]
fn plots_peers_causes_and_skips_are_there() {
    let text = of(&with_peers()).unwrap();
    let page = Html::parse_document(&text);
    let titles: Vec<String> = page
        .select(&select("svg text"))
        .map(|text| text.text().collect())
        .collect();
    let has = |part: &str| assert!(titles.iter().any(|title| title.contains(part)), "{part}");
    has("latency of a high class while low priority holds a lock");
    has("broadcast.all in cycles");
    has("nest.entry in instructions");
    has("self_ipi.entry: histogram");
    has("self_ipi.entry: cumulative distribution");
    for text in [
        "x2apic_self_ipi_sti_nop",
        "not measured: ANOTHER",
        "load.timer",
        "in service",
        "msi.edu: no edu device",
        "QEMU emulator version 10.0.2",
    ] {
        let whole: String = page.root_element().text().collect();
        assert!(whole.contains(text), "{text}");
    }
}

#[test]
fn nothing_measured_makes_a_page_too() {
    let results = Results::new(fixtures::host(), &[]);
    assert!(of(&results).unwrap().contains("No metric with a target"));
}

#[test]
fn long_numbers_are_grouped() {
    let shown = [0, 999, 9999, 10_000, 1_234_567].map(grouped);
    let with_spaces = shown.map(|text| text.replace('\u{202f}', " "));
    assert_eq!(with_spaces, ["0", "999", "9999", "10 000", "1 234 567"]);
}

#[test]
fn seconds_are_dates() {
    assert_eq!(date(0), "1970-01-01 00:00 UTC");
    assert_eq!(date(951_827_696), "2000-02-29 12:34 UTC");
    assert_eq!(date(1_780_000_000), "2026-05-28 20:26 UTC");
}
