#!/usr/bin/env python3
"""Makes tests/ci/advisories.tsv, what `audit.py` needs of a RustSec advisory database: `pin-advisories.py DATABASE > …`.

DATABASE is a checkout of https://github.com/rustsec/advisory-db, a folder of RUSTSEC-*.md files, or holds them as a .tgz. One
line for each advisory on crates.io that was not withdrawn: id, date, package, kind, versions that are patched, versions that
were never affected; several requirements are separated by `|`.
"""
import pathlib, re, sys, tarfile, tomllib


def documents(place):
    for path in sorted(place.rglob('RUSTSEC-*.md')):
        yield path.as_posix(), path.read_text(encoding='utf-8')
    for packed in sorted([*place.glob('*.tgz'), *place.glob('*.tar.gz')]):
        with tarfile.open(packed) as archive:
            for member in archive:
                if re.search(r'(^|/)RUSTSEC-[^/]*\.md$', member.name):
                    yield member.name, archive.extractfile(member).read().decode('utf-8')


def line(document):
    parsed = tomllib.loads(re.search(r'```toml\n(.*?)```', document, re.S)[1])
    advisory, versions = parsed['advisory'], parsed.get('versions', {})
    if 'withdrawn' in advisory or 'withdrawn' in parsed:
        return None
    requirements = ('|'.join(versions.get(key, [])) for key in ('patched', 'unaffected'))
    kind = advisory.get('informational', 'vulnerability')
    return '\t'.join([advisory['id'], str(advisory['date']), advisory['package'], kind, *requirements])


def main(place):
    # What is on the Rust distribution itself is on no crate.
    found = [line(text) for path, text in documents(pathlib.Path(place)) if '/rust/' not in path]
    lines = sorted(line for line in found if line)
    if not lines:
        sys.exit(f'pin-advisories: there is no advisory database in {place}')
    newest = max(line.split('\t')[1] for line in lines)
    print(f'# {len(lines)} advisories of the RustSec database (https://rustsec.org), the newest of {newest}; by pin-advisories.py')
    print('\n'.join(lines))


main(*sys.argv[1:])
