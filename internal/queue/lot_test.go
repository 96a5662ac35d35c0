package queue

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// lookedAt is what asynq asks of its client when it looks at a lane.
func lookedAt(t *testing.T, c gated, lane string) (*redis.Cmd, bool) {
	t.Helper()
	prefix := "asynq:{" + lane + "}:"
	cmd := c.EvalSha(t.Context(), "any", []string{prefix + "pending", prefix + "paused", prefix + "active", prefix + "lease"},
		time.Now().Add(30*time.Second).Unix(), prefix+"t:")
	return cmd, cmd.Err() == nil
}

// testLotIsTakenAsAsynqTakes: what is taken out in a lot looks as if asynq's own script
// had taken it out. An upgrade of asynq that changes that fails here.
func testLotIsTakenAsAsynqTakes(t *testing.T, rdb redis.UniversalClient) {
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	enqueue(t, c, dispatch.Task{Ref: ref("plain"), Seq: 1})
	began, finish := make(chan struct{}), make(chan struct{})
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Queues: map[string]int{"plain": 1}, LogLevel: asynq.FatalLevel, TaskCheckInterval: time.Millisecond})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { close(began); <-finish; return nil })); err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	defer close(finish)
	<-began

	mine := []dispatch.Task{{Ref: ref("lots"), Seq: 2, Lane: tracking.LaneNew}, {Ref: ref("lots"), Seq: 3, Lane: tracking.LaneNew}}
	for _, m := range mine {
		enqueue(t, c, m)
	}
	g := newGate(3, 4, open{})
	if _, ok := lookedAt(t, gated{rdb, rdb, g, newDones()}, "lots"); !ok || g.stock.len() != 1 {
		t.Fatalf("%d in stock, want one to be given and one kept", g.stock.len())
	}
	want := stateOf(t, rdb, dispatch.Task{Ref: ref("plain"), Seq: 1})
	for _, m := range mine {
		got := stateOf(t, rdb, m)
		if !slices.Equal(got.fields, want.fields) || got.state != want.state || got.active != want.active || got.leased != want.leased {
			t.Errorf("taken out in a lot: %+v, by asynq: %+v", got, want)
		}
	}
}

type stateInRedis struct {
	fields         []string
	state          string
	active, leased bool
}

func stateOf(t *testing.T, rdb redis.UniversalClient, task dispatch.Task) stateInRedis {
	t.Helper()
	hash, err := rdb.HGetAll(t.Context(), asynqKey(task, "t:"+taskID(task))).Result()
	if err != nil {
		t.Fatal(err)
	}
	active, err := rdb.LRange(t.Context(), asynqKey(task, "active"), 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	return stateInRedis{
		fields: slices.Sorted(maps.Keys(hash)), state: hash["state"], active: slices.Contains(active, taskID(task)),
		leased: rdb.ZScore(t.Context(), asynqKey(task, "lease"), taskID(task)).Val() > 0,
	}
}

// testLotGoesBack: a server that stops puts back what it has taken out and not begun, in
// the order in which it was queued.
func testLotGoesBack(t *testing.T, rdb redis.UniversalClient) {
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	for seq := 1; seq <= 4; seq++ {
		enqueue(t, c, task(seq))
	}
	g := newGate(3, 3, open{})
	client := gated{rdb, rdb, g, newDones()}
	if _, ok := lookedAt(t, client, "crm.resume"); !ok { // seq 2 to 4
		t.Fatal("nothing was taken out")
	}
	if _, ok := lookedAt(t, client, "crm"); ok {
		t.Error("another lane was looked at before what was taken out was given")
	}
	s := &server{gate: g, asynq: asynq.NewServerFromRedisClient(rdb, asynq.Config{LogLevel: asynq.FatalLevel})}
	s.stop(rdb, slog.New(slog.DiscardHandler))
	left, err := rdb.LRange(t.Context(), asynqKey(task(3), "pending"), 0, -1).Result()
	if want := []string{taskID(task(4)), taskID(task(3))}; err != nil || !slices.Equal(left, want) {
		t.Errorf("pending: %v, %v; want %v", left, err, want)
	}
	if got := stateOf(t, rdb, task(3)); got.active || got.leased || got.state != "pending" {
		t.Errorf("what was put back: %+v", got)
	}
	if _, ok := lookedAt(t, client, "crm.resume"); ok || g.stock.len() != 0 {
		t.Error("a server that has stopped takes something out")
	}
}

// TestLotIsNoLargerThanWhatIsFree: what is taken out can begin at once.
func TestLotIsNoLargerThanWhatIsFree(t *testing.T) {
	g := newGate(3, 20, open{})
	asked := 0
	look := func() {
		t.Helper()
		if _, err := g.pass("crm", func(n int) ([]taken, error) {
			asked = n
			g.stock.keep([]taken{{lane: "crm"}})
			return []taken{{lane: "crm"}}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for given, want := range []int{16, 16, 16, 16, 16, 15, 14} {
		if look(); asked != want {
			t.Fatalf("with %d under way %d are asked for, want %d", given, asked, want)
		}
	}
	g.ended()
	if look(); asked != 14 {
		t.Errorf("%d are asked for after one has ended, want 14", asked)
	}
	for range 30 {
		look()
	}
	if asked != 1 {
		t.Errorf("%d are asked for although nothing is free; asynq keeps one slot for what it asks for", asked)
	}
}

// TestEmptyLanesRest: what is found in one lane costs few looks at the others.
func TestEmptyLanesRest(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	var tasks []dispatch.Task
	for i := range 500 {
		next := task(2 + i)
		next.Lane = tracking.LaneBulk
		tasks = append(tasks, next)
	}
	if err := c.Enqueue(t.Context(), tasks...); err != nil {
		t.Fatal(err)
	}
	looks := map[string]int{}
	g := newGate(3, 1, open{})
	began := time.Now()
	for range tasks {
		for _, lane := range []string{"crm.resume", "crm", "crm.bulk"} { // one round of asynq
			message, err := g.pass(lane, func(n int) ([]taken, error) {
				looks[lane]++
				prefix := "asynq:{" + lane + "}:"
				lot, err := take(t.Context(), rdb, []string{prefix + "pending", prefix + "paused", prefix + "active", prefix + "lease"}, []any{1, prefix + "t:"}, n)
				g.stock.keep(lot)
				return lot, err
			})
			if err == nil && message == "" {
				t.Fatal("an empty message")
			}
		}
		g.ended()
	}
	rounds := int(time.Since(began)/emptyRest) + 1
	if looks["crm.bulk"] != len(tasks) || looks["crm.resume"] > rounds || looks["crm"] > rounds {
		t.Errorf("looks: %v for %d tasks in %d rests", looks, len(tasks), rounds)
	}
	if g.holds.Load() != 0 {
		t.Errorf("%d holds although there was a task in each round", g.holds.Load())
	}
}
