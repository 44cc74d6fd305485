# Checks Cargo.lock against a RustSec advisory database that lies on this machine: `audit.py DATABASE Cargo.lock [.deny.toml]`.
# DATABASE is a folder of RUSTSEC-*.md files, or holds them as a .tgz. Exit 0: nothing found, 1: findings, 2: no database.
# `.deny.toml` accepts a finding as cargo-deny would: [advisories] ignore = [{ id = "RUSTSEC-…", reason = "…" }].
import pathlib, re, sys, tarfile, tomllib


def documents(place):
    for path in sorted(place.rglob('RUSTSEC-*.md')):
        yield path.read_text(encoding='utf-8')
    for packed in sorted([*place.glob('*.tgz'), *place.glob('*.tar.gz')]):
        with tarfile.open(packed) as archive:
            for member in archive:
                if re.search(r'(^|/)RUSTSEC-[^/]*\.md$', member.name):
                    yield archive.extractfile(member).read().decode('utf-8')


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


def advisories(place):
    by_package = {}
    texts = list(documents(place))
    for text in texts:
        advisory = tomllib.loads(re.search(r'```toml\n(.*?)```', text, re.S)[1])
        if 'withdrawn' not in advisory['advisory']:
            by_package.setdefault(advisory['advisory']['package'], []).append(advisory)
    return len(texts), by_package


def findings(by_package, packages):
    for package in packages:
        # A package without a source is one of our own: its name says nothing.
        for advisory in by_package.get(package['name'], []) if 'source' in package else []:
            safe = advisory.get('versions', {})
            safe = safe.get('patched', []) + safe.get('unaffected', [])
            if not any(allows(requirement, version(package['version'])) for requirement in safe):
                yield package, advisory['advisory'], advisory.get('versions', {}).get('patched', [])


def accepted(path):
    if not path or not pathlib.Path(path).exists():
        return {}
    ignore = tomllib.loads(pathlib.Path(path).read_text())['advisories'].get('ignore', [])
    return {entry['id']: entry['reason'] for entry in ignore}


def main(place, lock, deny=None):
    known, by_package = advisories(pathlib.Path(place))
    if not known:
        print(f'audit: there is no advisory database in {place}', file=sys.stderr)
        return 2
    reasons, found = accepted(deny), 0
    packages = tomllib.loads(pathlib.Path(lock).read_text())['package']
    for package, advisory, patched in findings(by_package, packages):
        kind, id = advisory.get('informational', 'vulnerability'), advisory['id']
        found += id not in reasons
        verdict = f'accepted: {reasons[id]}' if id in reasons else f'patched in {", ".join(patched) or "no version"}'
        print(f'{lock}: {package["name"]} {package["version"]}: {id} ({kind}); {verdict}')
    print(f'audit: {len(packages)} packages, {known} advisories, {found} findings')
    return 1 if found else 0


sys.exit(main(*sys.argv[1:]))
