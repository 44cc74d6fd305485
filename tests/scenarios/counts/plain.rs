//! Plain files of others, counted by a few lines of Python that share nothing with our parser.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use tests::{reference, shared};

use super::figures;
use crate::engine;

/// Combined lines: no duration, no service.
const COMBINED: &str = r#"
import json, re, sys
total = bad = other = 0
for line in open(sys.argv[1], encoding='utf-8', errors='replace', newline='\n'):
    m = re.search(r'\] "((?:[^"\\]|\\.)*)" (\d{3}) (?:\d+|-) "(?:[^"\\]|\\.)*" "((?:[^"\\]|\\.)*)"', line)
    path = (m[1].split(' ') + ['', ''])[1].split('?')[0] if m else ''
    if not m or m[3].startswith(('kube-probe/', 'GoogleHC', 'ELB-HealthChecker')) or path in ('/healthz', '/readyz', '/livez', '/xrpc/_health'):
        other += 1
        continue
    total += 1
    bad += int(m[2]) >= 500
print(json.dumps({'lines': total + other, 'requests': total, 'services': {'unattributed': {
    'availability': [total, total - bad, 0], 'latency': [0, 0, 0]}}}))
"#;

/// ingress-nginx's `upstreaminfo`; the file has no 499 and no 101.
const UPSTREAMINFO: &str = r#"
import json, re, sys
services, lines, requests = {}, 0, 0
for line in open(sys.argv[1], encoding='utf-8', errors='replace', newline='\n'):
    lines += 1
    m = re.search(r'\] "((?:[^"\\]|\\.)*)" (\d{3}) \d+ "(?:[^"\\]|\\.)*" "((?:[^"\\]|\\.)*)" \d+ (\d+\.\d+) \[([^\]]*)\] ', line)
    path = (m[1].split(' ') + ['', ''])[1].split('?')[0]
    if m[3].startswith(('kube-probe/', 'GoogleHC', 'ELB-HealthChecker')) or path in ('/healthz', '/readyz', '/livez', '/xrpc/_health'):
        continue
    requests += 1
    assert m[2] not in ('499', '101')
    name = {'shop-web-80': 'shop/web', '': 'unattributed', '-': 'unattributed'}[m[5]]
    s = services.setdefault(name, {'availability': [0, 0, 0], 'latency': [0, 0, 0]})
    bad, slow = int(m[2]) >= 500, float(m[4]) >= 0.5
    s['availability'][0] += 1
    s['availability'][1] += not bad
    s['latency'][0] += not bad
    s['latency'][1] += not bad and not slow
    s['latency'][2] += bad
print(json.dumps({'lines': lines, 'requests': requests, 'services': services}))
"#;

async fn check(file: &str, script: &str) -> Result<()> {
    let Some(path) = shared(file) else { return Ok(()) };
    let Some(count) = reference::count_file(script, &path)? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let overview = engine().up(dir.path(), &[path]).await?.json()?;
    assert_eq!(figures(&overview), count["services"], "{file}");
    let (lines, requests) = (count["lines"].as_u64().unwrap(), count["requests"].as_u64().unwrap());
    let want = json!({
        "lines": lines, "requests": requests, "ignored": lines - requests, "late": 0, "dead_lettered": 0,
    });
    assert_eq!(overview["input"], want, "{file}");
    Ok(())
}

#[tokio::test]
async fn combined_lines_give_the_figures_of_an_independent_count() -> Result<()> {
    check("elastic-examples/apache_combined_first2000.log", COMBINED).await?;
    check("nginx-real/combined.log", COMBINED).await
}

#[tokio::test]
async fn upstreaminfo_lines_give_the_figures_of_an_independent_count() -> Result<()> {
    check("nginx-real/upstreaminfo.log", UPSTREAMINFO).await
}

/// Lays the content of `file` out below `folder` in `parts` files, cut at line ends, and returns them.
fn cut(file: &Path, folder: &Path, parts: usize) -> Result<Vec<std::path::PathBuf>> {
    let content = std::fs::read(file)?;
    std::fs::create_dir_all(folder)?;
    let (mut files, mut from) = (Vec::new(), 0);
    for part in 1..=parts {
        let to = tests::logs::line_end(&content, (content.len() * part / parts).max(1) - 1);
        files.push(folder.join(format!("part-{part}.log")));
        std::fs::write(&files[part - 1], &content[from..to])?;
        from = to;
    }
    Ok(files)
}

#[tokio::test]
async fn order_cuts_and_copies_of_a_plain_file_change_nothing() -> Result<()> {
    for file in ["elastic-examples/apache_combined_first2000.log", "nginx-real/upstreaminfo.log"] {
        let Some(path) = shared(file) else { continue };
        let dir = tempfile::tempdir()?;
        let up = async |name: &str, logs: &[std::path::PathBuf]| -> Result<Value> {
            engine().up(&dir.path().join(name), logs).await?.json()
        };
        let want = up("whole", std::slice::from_ref(&path)).await?;
        let mut halves = cut(&path, &dir.path().join("halves"), 2)?;
        halves.reverse();
        assert_eq!(up("reversed", &halves).await?, want, "{file}, second half first");
        cut(&path, &dir.path().join("sevenths"), 7)?;
        assert_eq!(up("folder", &[dir.path().join("sevenths")]).await?, want, "{file}, a folder of seven");
        assert_eq!(up("twice", &[path.clone(), path.clone()]).await?, want, "{file}, named twice");
        let copy = dir.path().join("copy-of.log");
        std::fs::write(&copy, std::fs::read(&path)?)?;
        assert_eq!(up("copied", &[copy.clone(), path.clone()]).await?, want, "{file}, with a copy");
        assert_eq!(up("whole", &[copy]).await?, want, "{file}, the copy after the file");
    }
    Ok(())
}
