//! One table in every form.

use rehearse_scoring::interval::{Interval, IntervalMethod};
use rehearse_scoring::report::{Column, Format, Table, Value, render};
use rehearse_scoring::warning::Warning;

fn table() -> Table {
    let columns = vec![
        Column::text("policy", "policy"),
        Column::number("n", "n"),
        Column::number("rate", "success"),
        Column::interval("interval", "interval"),
        Column::number("r", "r"),
    ];
    let mut table = Table::new("Success rates", columns);
    let interval = Interval { low: 0.25, high: 0.5, level: 0.95, method: IntervalMethod::Wilson };
    table
        .push(vec![
            Value::text("octo_base"),
            Value::Count(50),
            Value::percent(0.36),
            Value::interval(Some(interval)),
            Value::number(0.123_456, 3),
        ])
        .unwrap();
    table
        .push(vec![
            Value::text("a|b, \"c\"\u{1b}[2J"),
            Value::Count(0),
            Value::percent(f64::NAN),
            Value::interval(None),
            Value::Missing,
        ])
        .unwrap();
    table.note("seed 7");
    table.warn(&[Warning::VoidTrials { policy: "octo_base".into(), void: 2, trials: 52 }]);
    table
}

#[test]
fn terminal_text_is_aligned_and_plain() {
    let text = render(&table(), Format::Terminal { colour: false }).unwrap();
    let expected = "\
Success rates
policy         n  success        interval      r
octo_base     50   36.0 %  [0.250, 0.500]  0.123
a|b, \"c\"\u{fffd}[2J   0        -               -      -
interval: 95 % Wilson
seed 7
warning: 2 of 52 trials of octo_base are void and count in no rate; read their reasons, repair \
what broke and run them again
";
    assert_eq!(text, expected);
}

#[test]
fn colour_only_adds_escapes() {
    let plain = render(&table(), Format::Terminal { colour: false }).unwrap();
    let coloured = render(&table(), Format::Terminal { colour: true }).unwrap();
    assert_ne!(plain, coloured);
    let mut stripped = coloured;
    for escape in ["\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[0m"] {
        stripped = stripped.replace(escape, "");
    }
    assert_eq!(stripped, plain);
}

#[test]
fn json_keeps_precision_and_has_null_for_what_is_missing() {
    let text = render(&table(), Format::Json).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["title"], "Success rates");
    let [first, second] = [&json["rows"][0], &json["rows"][1]];
    assert_eq!((&first["n"], &first["r"]), (&50.into(), &0.123_456.into()));
    assert_eq!(first["interval"]["method"], "wilson");
    assert!(second["rate"].is_null() && second["interval"].is_null());
    assert_eq!(json["warnings"][0]["code"], "void_trials");
    assert_eq!(json["notes"][0], "interval: 95 % Wilson");
    // Keys stand in the order of the columns.
    assert!(text.find("\"policy\"").unwrap() < text.find("\"rate\"").unwrap());
}

#[test]
fn csv_spreads_intervals_and_quotes_what_needs_it() {
    let text = render(&table(), Format::Csv).unwrap();
    let expected = "\
policy,n,rate,interval_low,interval_high,interval_level,interval_method,r
octo_base,50,0.36,0.25,0.5,0.95,Wilson,0.123456
\"a|b, \"\"c\"\"\u{1b}[2J\",0,,,,,,
";
    assert_eq!(text, expected);
}

#[test]
fn markdown_escapes_what_would_break_the_table() {
    let text = render(&table(), Format::Markdown).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "### Success rates");
    assert_eq!(lines[2], "| policy | n | success | interval | r |");
    assert_eq!(lines[3], "| --- | ---: | ---: | ---: | ---: |");
    assert_eq!(lines[4], r"| octo\_base | 50 | 36.0 % | [0.250, 0.500] | 0.123 |");
    assert!(lines[5].starts_with(r#"| a\|b, "c" [2J | 0 | - | - |"#), "{}", lines[5]);
    assert!(text.contains(r"> **warning** (void\_trials): 2 of 52"));
}
