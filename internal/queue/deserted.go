package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hibiken/asynq"
)

// RemoveDeserted removes the empty queues of targets that nobody serves any more, as those are
// that left the files while no worker ran, and gives the targets. The caller knows those that
// are in its files or have deliveries under way. Others may be of a process with newer files:
// what a server anywhere serves stays. So does a queue that lacks the other lanes of a target:
// it is another program's. Nothing but what asynq lists is at stake, in any case: whoever
// queues lists a queue again.
func (w *Worker) RemoveDeserted(ctx context.Context, known func(target string) bool) (removed []string, err error) {
	listed, err := w.o.Redis.SMembersMap(ctx, allQueues).Result()
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	var deserted []string
	for target := range listed {
		whole := !known(target)
		for lane := range lanes(target) {
			_, ok := listed[lane]
			whole = whole && ok
		}
		if whole {
			deserted = append(deserted, target)
		}
	}
	if len(deserted) == 0 {
		return nil, nil
	}
	inspector := asynq.NewInspectorFromRedisClient(w.o.Redis)
	servers, err := inspector.Servers()
	if err != nil {
		return nil, fmt.Errorf("list servers: %w", err)
	}
	served := map[string]int{}
	for _, s := range servers {
		maps.Copy(served, s.Queues)
	}
	for _, target := range deserted {
		if _, ok := served[target]; ok {
			continue
		}
		gone, err := remove(inspector, target)
		if err != nil {
			return removed, err
		}
		if gone {
			removed = append(removed, target)
		}
	}
	slices.Sort(removed)
	return removed, nil
}

// remove removes the queues of a target, unless something is in them.
func remove(inspector *asynq.Inspector, target string) (gone bool, err error) {
	for lane := range lanes(target) {
		err := inspector.DeleteQueue(lane, false)
		switch {
		case err == nil, errors.Is(err, asynq.ErrQueueNotFound):
		case errors.Is(err, asynq.ErrQueueNotEmpty):
			return false, nil
		default:
			return false, fmt.Errorf("remove queue %s: %w", lane, err)
		}
	}
	return true, nil
}
