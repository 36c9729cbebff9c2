import time, cProfile, pstats, uuid
from tests.service.bidding.bidding_facts import *
from tests.service.conftest import *
import structlog
async def test_rate(bidding, kafka):
    ps=[Purchase() for _ in range(50)]
    for p in ps: kafka.event(p.request)
    await kafka.settle()
    (stream,) = [one for one in bidding.service.wiring.streams.values() if one.kind == "batches"]
    for n in range(20000):
        p=ps[n%50]; pid=LISTED[n//50%3]
        kafka.from_provider(pid, p.reply(revision=n//150+1), id=str(uuid.UUID(int=n)), at=p.in_time)
    recs=[r for pid in LISTED for r in kafka.topics[f"replies.{pid}"]]
    recs.sort(key=lambda r:r.offset)
    batches=[tuple(recs[i:i+500]) for i in range(0,len(recs),500)]
    pr=cProfile.Profile()
    t=time.process_time()
    for b in batches[:30]: await stream.subscriber.process_message(b)
    dt=time.process_time()-t
    print("RATE", 15000/dt)
    pr.enable()
    for b in batches[30:]: await stream.subscriber.process_message(b)
    pr.disable()
    pstats.Stats(pr).sort_stats("cumtime").print_stats(45)
    # bare: one row and one receipt row, per batch
    await bidding.pool.execute("create table bare(id uuid primary key, body bytea); create table bareout(id bigint generated always as identity primary key, body bytea)")
    t=time.process_time()
    for b in batches[:30]:
        async with bidding.pool.acquire() as c, c.transaction():
            await c.execute("insert into bare select * from unnest($1::uuid[],$2::bytea[])",[uuid.uuid4() for _ in b],[r.value for r in b])
            await c.execute("insert into bareout(body) select * from unnest($1::bytea[])",[b"x"*200 for r in b])
    print("BARE", 15000/(time.process_time()-t))
    t=time.process_time()
    for b in batches[:30]:
        async with bidding.pool.acquire() as c, c.transaction():
            await c.executemany("insert into bare values($1,$2)",[(uuid.uuid4(),r.value) for r in b])
    print("BARE executemany", 15000/(time.process_time()-t))
