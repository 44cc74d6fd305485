#!/usr/bin/env python3
"""Appends access lines of now, as nginx-ingress writes them, to a log: traffic.py FOLDER [SECONDS [FAILED_PERCENT]]"""
import random
import sys
import time

folder, seconds, failed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 120, float(sys.argv[3]) if len(sys.argv) > 3 else 0
chance = random.Random(7)
total = bad = 0
with open(f"{folder}/access.log", "a", buffering=1) as log:
    for _ in range(seconds):
        for _ in range(50):
            status = 502 if chance.random() * 100 < failed else 200
            took = chance.expovariate(1 / 0.08)
            at = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
            log.write(
                f'192.0.2.7 - - [{at}] "GET /xrpc/app.bsky.feed.getTimeline HTTP/1.1" {status} 512 "-" "Mozilla/5.0" '
                f"310 {took:.3f} [social-pds-3000] [] 10.0.0.9:3000 512 {took:.3f} {status} {chance.getrandbits(128):032x}\n"
            )
            total, bad = total + 1, bad + (status == 502)
        time.sleep(1)
print(f"{total} requests to social/pds, {bad} of them failed")
