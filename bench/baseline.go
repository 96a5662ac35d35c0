package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// The baselines are what Headgate is measured against. Each is a process of its own: this
// program, started with the baseline's name.
var baselines = map[string]func(app *fiber.App, redisAddr, sink string, deliver bool) error{
	"naive":      naive,
	"one-script": oneScript,
	"no-op":      noOp,
}

var threeTargets = [...]string{"crm", "newsletter", "analytics"}

// serveBaseline runs one: its name, the port to listen on, the address of Redis, the URL
// of the backends, and deliver when it is to deliver, too.
func serveBaseline(args []string) error {
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	if err := baselines[args[0]](app, args[2], args[3], len(args) > 4); err != nil {
		return err
	}
	app.Hooks().OnListen(func(fiber.ListenData) error {
		fmt.Println("baseline is up")
		return nil
	})
	go func() {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		<-stop
		os.Exit(0)
	}()
	return app.Listen("127.0.0.1:" + args[1])
}

// noOp answers and does nothing: what the HTTP server alone costs.
func noOp(app *fiber.App, _, _ string, _ bool) error {
	app.Post("/profiles/:id", func(c *fiber.Ctx) error {
		return c.Status(fiber.StatusAccepted).JSON(fiber.Map{"tracking_id": "none"})
	})
	app.Get("/tracking/:id", func(c *fiber.Ctx) error { return c.JSON(fiber.Map{"tracking_id": "none"}) })
	return nil
}

// naive is what a good engineer writes in a day: three tasks enqueued one after the other
// for each request, with no record, no authentication, no limit and no mapping, and one
// asynq server that delivers them.
func naive(app *fiber.App, redisAddr, sink string, deliver bool) error {
	opt := asynq.RedisClientOpt{Addr: redisAddr}
	client := asynq.NewClient(opt)
	app.Post("/profiles/:id", func(c *fiber.Ctx) error {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		body := bytes.Clone(c.Body())
		for _, target := range threeTargets {
			if _, err := client.Enqueue(asynq.NewTask("deliver:"+target+":"+c.Params("id"), body)); err != nil {
				return err
			}
		}
		return c.Status(fiber.StatusAccepted).JSON(fiber.Map{"tracking_id": id.String()})
	})
	if !deliver {
		return nil
	}
	backend := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConns: 100, MaxIdleConnsPerHost: 100}}
	server := asynq.NewServer(opt, asynq.Config{Concurrency: 64, LogLevel: asynq.ErrorLevel})
	return server.Start(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		_, rest, _ := bytes.Cut([]byte(task.Type()), []byte(":"))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, sink+"/"+string(bytes.Replace(rest, []byte(":"), []byte("/"), 1)), bytes.NewReader(task.Payload()))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := backend.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close() // it was read
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		return err
	}))
}

// recordAndQueue writes a record and three tasks of asynq's layout.
var recordAndQueue = redis.NewScript(`
redis.call('HSET', KEYS[1], 'body', ARGV[1], 'state', 'pending')
for i = 2, 4 do
  redis.call('HSET', KEYS[2] .. 't:' .. ARGV[i], 'msg', ARGV[1], 'state', 'pending', 'pending_since', ARGV[5])
  redis.call('LPUSH', KEYS[2] .. 'pending', ARGV[i])
end
return 1
`)

// oneScript does a fifth of the work, in one script for each request: what this stack can
// reach at most.
func oneScript(app *fiber.App, redisAddr, _ string, _ bool) error {
	rdb, err := redis.NewClient(&redis.Options{Addr: redisAddr}).AutoPipeline()
	if err != nil {
		return err
	}
	var next atomic.Int64
	app.Post("/profiles/:id", func(c *fiber.Ctx) error {
		id := strconv.FormatInt(next.Add(1), 36)
		err := recordAndQueue.Run(c.Context(), rdb, []string{"{q}:rec:" + id, "{q}:"},
			string(c.Body()), id+":crm", id+":newsletter", id+":analytics", time.Now().UnixNano()).Err()
		if err != nil {
			return err
		}
		return c.Status(fiber.StatusAccepted).JSON(fiber.Map{"tracking_id": id})
	})
	return nil
}
