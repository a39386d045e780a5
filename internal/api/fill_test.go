package api_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"
)

// filled returns a value of type T in which nothing is zero: strings are the
// names of their fields, lists have two entries.
func filled[T any]() *T {
	into := new(T)
	fill(reflect.ValueOf(into).Elem(), "", new(int64))
	return into
}

func filledLike(pointer any) any {
	into := reflect.New(reflect.TypeOf(pointer).Elem())
	fill(into.Elem(), "", new(int64))
	return into.Interface()
}

var (
	rawType  = reflect.TypeFor[json.RawMessage]()
	timeType = reflect.TypeFor[time.Time]()
)

func fill(v reflect.Value, name string, count *int64) {
	*count++
	switch {
	case v.Type() == rawType:
		v.SetBytes([]byte(`{"a":1}`))
		return
	case v.Type() == timeType:
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(*count) * time.Second)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("%s %d", name, *count))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(*count)
	case reflect.Uint64:
		v.SetUint(uint64(*count))
	case reflect.Float64:
		v.SetFloat(float64(*count) / 64)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), name, count)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(name))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), name, count)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), v.Type().Field(i).Name, count)
		}
	default:
		panic("fill " + v.Type().String())
	}
}

// eachChange calls check once for every single value below pointer, with that
// one value changed; path says which.
func eachChange(pointer any, check func(path string)) {
	changeEach(reflect.ValueOf(pointer).Elem(), "", check)
}

func changeEach(v reflect.Value, path string, check func(string)) {
	before := reflect.New(v.Type()).Elem()
	before.Set(v)
	try := func(how string) {
		check(path + how)
		v.Set(before)
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "!")
		try("")
	case reflect.Bool:
		v.SetBool(!v.Bool())
		try("")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
		try("")
	case reflect.Uint64:
		v.SetUint(v.Uint() + 1)
		try("")
	case reflect.Pointer:
		v.SetZero()
		try(" left out")
		changeEach(v.Elem(), path, check)
	case reflect.Slice:
		v.Set(v.Slice(0, v.Len()-1))
		try(" shortened")
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			changeEach(v.Index(i), fmt.Sprintf("%s[%d]", path, i), check)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			changeEach(v.Field(i), path+"."+v.Type().Field(i).Name, check)
		}
	default:
		panic("change " + v.Type().String())
	}
}
