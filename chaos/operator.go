package main

import (
	"context"
	"errors"
	"time"

	"github.com/hibiken/asynq"

	"headgate/chaos/world"
)

func operatorScenarios() []*scenario {
	return []*scenario{{
		name:  "tasks-deleted",
		shows: "an operator deletes and archives all waiting, scheduled and archived tasks, again and again, with an Asynqmon of their own: the record is the truth, and the tasks come back",
		spec:  world.Spec{Workers: 1}, rate: 20, fault: deleteTasks,
	}}
}

// deleteTasks does what the buttons of Asynqmon do, through the same library.
func deleteTasks(ctx context.Context, r *run) error {
	// Slower than orders arrive, so that tasks wait.
	r.world.Backends.Answer(400*time.Millisecond, 0, 0)
	inspector := asynq.NewInspectorFromRedisClient(r.world.Redis.Client)
	deleted := 0
	for until := time.Now().Add(r.length(6*time.Second, 40*time.Second)); time.Now().Before(until); {
		if err := r.sleep(ctx, r.between(100*time.Millisecond, time.Second)); err != nil {
			return err
		}
		queues, err := inspector.Queues()
		if err != nil {
			return err
		}
		buttons := []func(queue string) (int, error){
			inspector.DeleteAllPendingTasks, inspector.DeleteAllScheduledTasks, inspector.DeleteAllRetryTasks,
			inspector.DeleteAllArchivedTasks, inspector.ArchiveAllPendingTasks, inspector.ArchiveAllScheduledTasks,
		}
		for _, q := range queues {
			n, err := buttons[r.rand.IntN(len(buttons))](q)
			if err != nil && !errors.Is(err, asynq.ErrQueueNotFound) {
				return err
			}
			deleted += n
		}
	}
	r.world.Backends.Answer(0, 0, 0)
	if deleted == 0 {
		r.wrong("no task was there to be deleted")
	}
	return nil
}
