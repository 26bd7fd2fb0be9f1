package frontend

import (
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what /metrics tells Prometheus.
type metrics struct {
	handler   echo.HandlerFunc
	submitted prometheus.Counter
	prompts   *prometheus.HistogramVec
	nodes     *prometheus.HistogramVec
	reused    prometheus.Counter
	requests  *prometheus.CounterVec
	refused   *prometheus.CounterVec // by one of reasons
	panics    *prometheus.CounterVec // by where: node or request
}

// reasons are why a request is refused before anything is done for it: a page of another site, another name of this machine,
// no token, a body that is too large or too slow, too many websockets, a full queue, a picture that is none or too large.
var reasons = []string{"origin", "host", "token", "body", "slow", "sockets", "queue", "picture"}

func newMetrics(s *Server) *metrics {
	r := prometheus.NewRegistry()
	name := func(n string) string { return "graphrun_" + n }
	m := &metrics{
		submitted: prometheus.NewCounter(prometheus.CounterOpts{Name: name("prompts_submitted_total"), Help: "Prompts that were queued."}),
		prompts: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name("prompt_seconds"), Help: "Time of runs.", Buckets: prometheus.ExponentialBuckets(0.01, 4, 10),
		}, []string{"outcome"}),
		nodes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name("node_seconds"), Help: "Time of nodes that ran.", Buckets: prometheus.ExponentialBuckets(0.001, 5, 9),
		}, []string{"class"}),
		reused:   prometheus.NewCounter(prometheus.CounterOpts{Name: name("nodes_reused_total"), Help: "Nodes of runs whose result was there already."}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("http_requests_total"), Help: "HTTP requests."}, []string{"method", "route", "status"}),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("refused_total"), Help: "Requests that a limit or the gate turned away."}, []string{"reason"}),
		panics:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("panics_total"), Help: "Crashes that were caught, of nodes and of requests."}, []string{"where"}),
	}
	for _, reason := range reasons {
		m.refused.WithLabelValues(reason)
	}
	for _, where := range []string{"node", "request"} {
		m.panics.WithLabelValues(where)
	}
	gauge := func(n, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name(n), Help: help}, f)
	}
	r.MustRegister(m.submitted, m.prompts, m.nodes, m.reused, m.requests, m.refused, m.panics, &memory{s.Engine},
		gauge("queue_pending", "Prompts that wait.", func() float64 { n, _ := s.Queue.Len(); return float64(n) }),
		gauge("queue_running", "Prompts that run.", func() float64 { _, n := s.Queue.Len(); return float64(n) }),
		gauge("websockets", "Open websockets.", func() float64 { return float64(s.sockets.count()) }),
		gauge("cache_entries", "Results in the cache.", func() float64 { return float64(s.Cache.Len()) }),
	)
	m.handler = echo.WrapHandler(promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	return m
}

func (m *metrics) finished(success bool, took time.Duration) {
	outcome := "error"
	if success {
		outcome = "success"
	}
	m.prompts.WithLabelValues(outcome).Observe(took.Seconds())
}

func (m *metrics) node(class string, took time.Duration) {
	m.nodes.WithLabelValues(class).Observe(took.Seconds())
}

// memory tells the memory of each device when it is asked.
type memory struct{ engine Engine }

var memoryInfo = prometheus.NewDesc("graphrun_memory_bytes", "Memory by device.", []string{"device", "kind"}, nil)

func (m *memory) Describe(ch chan<- *prometheus.Desc) { ch <- memoryInfo }

func (m *memory) Collect(ch chan<- prometheus.Metric) {
	for _, d := range m.engine.Stats().Devices {
		for kind, n := range map[string]int64{"total": d.MemoryTotal, "free": d.MemoryFree, "used": d.InUse} {
			ch <- prometheus.MustNewConstMetric(memoryInfo, prometheus.GaugeValue, float64(n), d.Type, kind)
		}
	}
}

// count counts requests by route.
func (s *Server) count(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		if err != nil {
			c.Error(err) // so that its status is known
		}
		route := c.Path()
		if route == "" {
			route = "none"
		}
		s.metrics.requests.WithLabelValues(c.Request().Method, route, strconv.Itoa(c.Response().Status)).Inc()
		return nil
	}
}
