#version 300 es
// One triangle that covers all of the target; the scissor cuts off what isn't to be drawn.

void main() {
    gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}
