package queue

import (
	"net/http"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
)

// dashboardPool is enough for one page's requests.
const dashboardPool = 4

// connection makes clients for Asynqmon, which closes what it is given.
type connection struct{ options *redis.Options }

// MakeRedisClient implements asynq.RedisConnOpt.
func (c connection) MakeRedisClient() interface{} {
	o := *c.options
	o.PoolSize = dashboardPool
	return redis.NewClient(&o)
}

// Dashboard serves Asynqmon below rootPath, for looking only. It connects by itself, the
// way base does; close ends that.
func Dashboard(base *redis.Client, rootPath string) (handler http.Handler, closeFunc func() error) {
	h := asynqmon.New(asynqmon.Options{
		RootPath:     rootPath,
		RedisConnOpt: connection{base.Options()},
		ReadOnly:     true,
		PayloadFormatter: asynqmon.PayloadFormatterFunc(func(string, []byte) string {
			return "The task's ID names its delivery: <tracking>:<target>:<seq>."
		}),
	})
	return h, h.Close
}
