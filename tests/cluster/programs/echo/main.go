// Command echo is a pod's program: over HTTP on port 8080 it says what it sees of the cluster from within.
//
//	/              the pod's host name
//	/resolve?name= the addresses of a name, by the cluster's DNS
//	/get?url=      what another server answers
//	/files/        the folder /data; PUT writes a file there
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const data = "/data"

func main() {
	http.HandleFunc("GET /{$}", hostname)
	http.HandleFunc("GET /resolve", resolve)
	http.HandleFunc("GET /get", get)
	http.Handle("GET /files/", http.StripPrefix("/files/", http.FileServer(http.Dir(data))))
	http.HandleFunc("PUT /files/{name}", put)
	server := http.Server{Addr: ":8080", ReadHeaderTimeout: time.Second}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		<-ended.Done()
		server.Shutdown(context.Background())
	}()
	log.Print("listening on ", server.Addr)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}

func hostname(answer http.ResponseWriter, _ *http.Request) {
	name, err := os.Hostname()
	say(answer, name, err)
}

func resolve(answer http.ResponseWriter, request *http.Request) {
	addresses, err := net.DefaultResolver.LookupHost(request.Context(), request.FormValue("name"))
	say(answer, strings.Join(addresses, " "), err)
}

func get(answer http.ResponseWriter, request *http.Request) {
	client := http.Client{Timeout: 3 * time.Second}
	got, err := client.Get(request.FormValue("url"))
	if err != nil {
		say(answer, "", err)
		return
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	say(answer, string(text), err)
}

func put(answer http.ResponseWriter, request *http.Request) {
	file, err := os.Create(filepath.Join(data, filepath.Base(request.PathValue("name"))))
	if err == nil {
		defer file.Close()
		_, err = io.Copy(file, request.Body)
	}
	say(answer, "", err)
}

func say(answer http.ResponseWriter, text string, err error) {
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprint(answer, text)
}
