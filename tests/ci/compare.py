# Compares the document of `up --once --output json` with what count.py counted: `compare.py UP.json COUNT.json`.
import json, sys

up, count = (json.load(open(path)) for path in sys.argv[1:])
figures = {s['service']: {slo['slo']: [slo[key] for key in ('total', 'good', 'excluded')] for slo in s['slos']} for s in up['services']}
truth = {name: {slo: [s[slo][key] for key in ('total', 'good', 'excluded')] for slo in ('availability', 'latency')}
         for name, s in count['services'].items()}
lines = count['total']['records']
for what, found, want in (('services', figures, truth), ('lines', up['input']['lines'], lines)):
    if found != want:
        sys.exit(f'{what}: found {found}, an independent count says {want}')
print(f'{len(truth)} services and {lines} lines are as counted independently')
