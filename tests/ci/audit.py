# Checks Cargo.lock against advisories: `audit.py advisories.tsv Cargo.lock [.deny.toml]`. `pin-advisories.py` makes the first
# file of a RustSec advisory database. Exit 0: nothing found, 1: findings, 2: no advisories.
# `.deny.toml` accepts a finding as cargo-deny would: [advisories] ignore = [{ id = "RUSTSEC-…", reason = "…" }].
import collections, pathlib, re, sys, tomllib

Advisory = collections.namedtuple('Advisory', 'id date package kind patched unaffected')


def version(text):
    """A key that sorts as semver.org rules 9 to 11 say: a pre-release lies before its release."""
    m = re.fullmatch(r'(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+.*)?', text.strip())
    if not m:
        raise ValueError(f'not a version: {text!r}')
    before = [(0, int(part), '') if part.isdigit() else (1, 0, part) for part in (m[4] or '').split('.') if part]
    return (int(m[1]), int(m[2] or 0), int(m[3] or 0), (1,) if not before else (0, before))


def allows(requirement, found):
    return all(allows_one(part.strip(), found) for part in requirement.split(','))


def allows_one(part, found):
    operator, text = re.fullmatch(r'(\^|~|>=|<=|>|<|=)?\s*(.+)', part).groups()
    bound, given = version(text), text.split('-')[0].count('.') + 1
    major, minor, patch = bound[:3]
    if operator in ('>', '>=', '<', '<=', '='):
        return {'>': found > bound, '>=': found >= bound, '<': found < bound, '<=': found <= bound, '=': found == bound}[operator]
    if operator == '~':
        end = (major + 1, 0, 0) if given == 1 else (major, minor + 1, 0)
    else:
        end = (major + 1, 0, 0) if major or given == 1 else (0, minor + 1, 0) if minor or given == 2 else (0, 0, patch + 1)
    return bound <= found and found[:3] < end


def advisories(path):
    by_package, newest, count = {}, '', 0
    for line in pathlib.Path(path).read_text(encoding='utf-8').splitlines():
        if line.startswith('#'):
            continue
        *texts, patched, unaffected = line.split('\t')
        requirements = ([part for part in text.split('|') if part] for text in (patched, unaffected))
        advisory = Advisory(*texts, *requirements)
        by_package.setdefault(advisory.package, []).append(advisory)
        newest, count = max(newest, advisory.date), count + 1
    return count, newest, by_package


def findings(by_package, packages):
    for package in packages:
        # A package without a source is one of our own: its name says nothing.
        for advisory in by_package.get(package['name'], []) if 'source' in package else []:
            safe = advisory.patched + advisory.unaffected
            if not any(allows(requirement, version(package['version'])) for requirement in safe):
                yield package, advisory


def accepted(path):
    if not path or not pathlib.Path(path).exists():
        return {}
    ignore = tomllib.loads(pathlib.Path(path).read_text())['advisories'].get('ignore', [])
    return {entry['id']: entry['reason'] for entry in ignore}


def main(pinned, lock, deny=None):
    known, newest, by_package = advisories(pinned) if pathlib.Path(pinned).exists() else (0, '', {})
    if not known:
        print(f'audit: there are no advisories in {pinned}: pin-advisories.py makes them', file=sys.stderr)
        return 2
    reasons, found = accepted(deny), 0
    packages = tomllib.loads(pathlib.Path(lock).read_text())['package']
    for package, advisory in findings(by_package, packages):
        found += advisory.id not in reasons
        patched = ', '.join(advisory.patched) or 'no version'
        verdict = f'accepted: {reasons[advisory.id]}' if advisory.id in reasons else f'patched in {patched}'
        print(f'{lock}: {package["name"]} {package["version"]}: {advisory.id} ({advisory.kind}); {verdict}')
    print(f'audit: {len(packages)} packages, {known} advisories to {newest}, {found} findings')
    return 1 if found else 0


sys.exit(main(*sys.argv[1:]))
