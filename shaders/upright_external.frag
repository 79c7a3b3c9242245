#version 300 es
// As upright.frag, out of memory in a format that the driver itself turns into red, green and blue.
#extension GL_OES_EGL_image_external_essl3 : require
precision highp float;
precision highp int;

uniform highp samplerExternalOES memory;
// Where in memory the picture's top left pixel lies.
uniform highp ivec2 first;
// Whether the next row of the picture is the next in memory (1) or the one before (-1).
uniform highp int down;

out vec4 colour;

void main() {
    ivec2 at = ivec2(gl_FragCoord.xy);
    colour = vec4(texelFetch(memory, first + ivec2(at.x, down * at.y), 0).rgb, 1.0);
}
