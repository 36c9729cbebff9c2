import time, uuid
from collections import defaultdict
from tests.service.bidding.bidding_facts import *
from tests.service.conftest import *
from services.bidding import intake, reading
from shared.record import Record
async def test_rate(bidding, kafka):
    ps=[Purchase() for _ in range(50)]
    for p in ps: kafka.event(p.request)
    await kafka.settle()
    for n in range(10000):
        p=ps[n%50]; pid=LISTED[n//50%3]
        kafka.from_provider(pid, p.reply(revision=n//150+1), id=str(uuid.UUID(int=n)), at=p.in_time)
    recs=[r for pid in LISTED for r in kafka.topics[f"replies.{pid}"]]
    recs.sort(key=lambda r:r.offset)
    tot=defaultdict(float)
    for i in range(0,len(recs),500):
        a=time.perf_counter()
        rr=[Record.of(r) for r in recs[i:i+500]]
        b=time.perf_counter()
        arr=[reading.read(r) for r in rr]
        c=time.perf_counter()
        tot["record"]+=b-a; tot["read"]+=c-b
        async with bidding.runtime.decide("t",i) as (tx,pub):
            def log(q): tot[q.query.strip()[:60]]+=q.elapsed
            with tx.query_logger(log):
                d=time.perf_counter()
                await intake.take(tx,pub,arr)
                tot["take"]+=time.perf_counter()-d
    for k,v in sorted(tot.items(), key=lambda x:-x[1]): print(f"{v/20*1000:8.2f} ms/batch  {k!r}")
