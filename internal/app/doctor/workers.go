package doctor

import (
	"context"
	"fmt"
	"time"

	"headgate/internal/redisstore"
)

// tolerated is how far asynq lets clocks be apart: beyond it, tasks that are being run are
// taken for lost.
const tolerated = 30 * time.Second

const setClock = "keep clocks in step: timedatectl set-ntp true, or chronyc makestep"

// clocks compares the clocks of this host, of Redis and of the workers.
func (e *exam) clocks(ctx context.Context) (out []Finding) {
	nodes, err := e.store.Examine(ctx)
	if err != nil && len(nodes) == 0 {
		return []Finding{{"", Warning, "clocks are not compared: " + plainError(err), ""}}
	}
	for _, n := range nodes {
		who := "redis"
		if n.Name != "" {
			who += " " + n.Name
		}
		out = append(out, clock(who, "this host", n.Skew)...)
	}
	hosts, err := e.queue.Hosts(ctx)
	if err != nil {
		return append(out, Finding{"", Warning, "workers' clocks are not compared: " + plainError(err), ""})
	}
	for _, h := range hosts {
		out = append(out, clock("worker "+h.Name, "redis", h.Skew)...)
	}
	if len(out) == 0 {
		text := "this host and redis agree"
		if len(hosts) > 0 {
			text += ", and with them " + count(len(hosts), "worker process")
		}
		out = append(out, Finding{"", OK, text, ""})
	}
	return out
}

// clock judges how far one clock is before another.
func clock(who, than string, skew time.Duration) []Finding {
	if skew.Abs() <= redisstore.MaxSkew {
		return nil
	}
	state, way := Warning, "ahead of"
	if skew.Abs() >= tolerated {
		state = Problem
	}
	if skew < 0 {
		way = "behind"
	}
	return []Finding{{"", state, fmt.Sprintf("the clock of %s is %s %s that of %s", who, skew.Abs().Round(time.Second), way, than), setClock}}
}

// Workers show a sign of life every two seconds.
const (
	lifeWatch = 4500 * time.Millisecond
	lifeLook  = 250 * time.Millisecond
)

// workers watches for signs of life.
func (e *exam) workers(ctx context.Context) []Finding {
	watch, cancel := context.WithTimeout(ctx, min(lifeWatch, e.o.Each*3/4))
	defer cancel()
	first, err := e.store.Owners(ctx)
	if err != nil {
		return []Finding{{"", Warning, "not looked at: " + plainError(err), ""}}
	}
	living := map[string]bool{}
	tick := time.NewTicker(lifeLook)
	defer tick.Stop()
	for watching := len(first) > 0; watching && len(living) < len(first); {
		select {
		case <-watch.Done():
			watching = false
		case <-tick.C:
			now, err := e.store.Owners(ctx)
			if err != nil {
				return []Finding{{"", Warning, "not looked at: " + plainError(err), ""}}
			}
			for owner, n := range now {
				before, known := first[owner]
				if !known {
					first[owner] = n // it came just now, and has shown one
				}
				living[owner] = living[owner] || !known || n != before
				if !living[owner] {
					delete(living, owner)
				}
			}
			for owner := range first {
				if _, there := now[owner]; !there {
					delete(first, owner) // it has left in good order
					delete(living, owner)
				}
			}
		}
	}
	var out []Finding
	if n := len(living); n > 0 {
		out = append(out, Finding{"", OK, count(n, "worker process") + " " + shows(n) + " signs of life", ""})
	} else {
		out = append(out, Finding{"", Problem, "no worker shows a sign of life: nothing is delivered", "headgate serve --role worker -c " + e.o.ConfigPath})
	}
	if dead := len(first) - len(living); dead > 0 {
		out = append(out, Finding{"", Warning, count(dead, "worker process") + " went without leaving; a living worker takes over what it held within 15 s",
			"see why it ended: its log, or kubectl describe pod (OOMKilled?)"})
	}
	return out
}

func shows(n int) string {
	if n == 1 {
		return "shows"
	}
	return "show"
}
