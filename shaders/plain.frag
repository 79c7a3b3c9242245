#version 300 es
// A pixel out of memory, as it lies there.
precision highp float;
precision highp int;

uniform highp sampler2D memory;

vec3 pixel(ivec2 at) {
    return texelFetch(memory, at, 0).rgb;
}
